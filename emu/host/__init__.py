"""The host: which cores there are, where processes sit on them, and what disturbs a run.

Door of the room: import from here. Plain Python and psutil; nothing here compiles or touches a segment.
"""

from emu.host.affinity import CLASSES, can_use_fifo, pin, read_back, set_scheduling
from emu.host.cgroup import CpuBandwidth, sweep_cgroups
from emu.host.cores import (
    CORE_SPECS,
    DaemonPlacement,
    Placement,
    choose_cores,
    parse_core_list,
    place_daemons,
    require_usable,
)
from emu.host.quiet import (
    Disturbance,
    DmaLatencyGuard,
    disturbances,
    load_average,
    process_state,
    set_parent_death_signal,
    set_timer_slack,
    steal_jiffies,
)
from emu.host.record import HOST_RECORD_VERSION, container_hints, host_record
from emu.host.text import topology_text
from emu.host.topology import UNKNOWN, Core, Topology, format_core_list, parse_cpulist, read_topology

__all__ = [
    "CpuBandwidth", "sweep_cgroups",
    "require_usable",
    "CLASSES", "CORE_SPECS", "Core", "DaemonPlacement", "Disturbance", "DmaLatencyGuard", "HOST_RECORD_VERSION",
    "Placement", "Topology", "UNKNOWN", "can_use_fifo", "choose_cores", "container_hints", "disturbances",
    "format_core_list", "host_record", "load_average", "parse_core_list", "parse_cpulist", "pin", "place_daemons",
    "process_state", "read_back", "read_topology", "set_parent_death_signal", "set_scheduling", "set_timer_slack",
    "steal_jiffies", "topology_text",
]
