"""The load: arrivals, objects, readers, and the mutator that drives them.

Door of the room. The reader of recorded demand, emu.workload.ftrace, is a second, light door.
"""

from emu.sync import CONTEXT_NAMES
from emu.workload.demand import CONTEXT_BITS, KINDS, LOAD, MAX_SIZES, RCUSCALE, load_of
from emu.workload.hotplug import NEVER, cpu_hotplug
from emu.workload.mutator import (
    FINISHED,
    WAITED,
    WORKED,
    mutator_begin,
    mutator_finish,
    mutator_prepare,
    mutator_step,
)
from emu.workload.random import ONE, seed_state

__all__ = [
    "NEVER", "cpu_hotplug",
    "CONTEXT_BITS", "CONTEXT_NAMES", "FINISHED", "KINDS", "LOAD", "MAX_SIZES", "ONE", "RCUSCALE", "WAITED", "WORKED",
    "load_of", "mutator_begin", "mutator_finish", "mutator_prepare", "mutator_step", "seed_state",
]
