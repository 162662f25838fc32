"""RCU: grace periods, quiescent states, readers, idle CPUs.

Door of the room. Knows nothing of pages or batches.
"""

from emu.rcu.gp import (
    STEP_ENDED,
    STEP_IDLE,
    STEP_STALL,
    STEP_STARTED,
    STEP_WAITING,
    gp_is_clean,
    gp_kthread_step,
    gp_wake_time,
    rcu_request_gp,
)
from emu.rcu.gp_seq import seq_done, seq_end, seq_in_progress, seq_number, seq_snap, seq_start
from emu.rcu.hotplug import rcu_cpu_starting, rcu_report_cpu_dead
from emu.rcu.qs import (
    rcu_eqs_enter,
    rcu_eqs_exit,
    rcu_qs,
    rcu_read_lock,
    rcu_read_unlock,
    rcu_report_qs,
    rcu_tick,
)
from emu.rcu.state import (
    LEAF_FANOUT,
    MAX_CPUS,
    RCU,
    RDP,
    RNP,
    get_state_synchronize_rcu,
    gp_seq,
    leaf_of,
    next_tick_after,
    poll_state_synchronize_rcu,
    rcu_state,
    rdp_of,
    timer_expiry,
)
from emu.rcu.sync import synchronize_rcu

__all__ = [
    "rcu_cpu_starting", "rcu_report_cpu_dead",
    "LEAF_FANOUT", "MAX_CPUS", "RCU", "RDP", "RNP", "STEP_ENDED", "STEP_IDLE", "STEP_STALL", "STEP_STARTED",
    "STEP_WAITING", "get_state_synchronize_rcu", "gp_is_clean", "gp_kthread_step", "gp_seq", "gp_wake_time",
    "leaf_of", "next_tick_after", "poll_state_synchronize_rcu", "rcu_eqs_enter", "rcu_eqs_exit", "rcu_qs",
    "rcu_read_lock", "rcu_read_unlock", "rcu_report_qs", "rcu_request_gp", "rcu_state", "rcu_tick", "rdp_of",
    "seq_done", "seq_end", "seq_in_progress", "seq_number", "seq_snap", "seq_start", "synchronize_rcu",
    "timer_expiry", "next_tick_after",
]
