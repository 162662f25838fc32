"""Locks, bells and preemption: how processes that stand for CPUs keep out of each other's way.

Door of the room. Knows nothing of pages or grace periods.
"""

from emu.sync.bell import bell_seen, proc_ring, proc_sleep
from emu.sync.lockdep import (
    CALL_IN_NMI,
    CONTEXT_NAMES,
    CTX_HARDIRQ,
    CTX_IN_ALLOCATOR,
    CTX_NMI,
    CTX_RAW_LOCK,
    CTX_SOFTIRQ,
    CTX_TASK,
    CTX_TASK_ATOMIC,
    CTX_ZONE_LOCK,
    HELD,
    INVALID_WAIT_CONTEXT,
    LC,
    LOCKDEP,
    ON_VIOLATION,
    SELF_DEADLOCK,
    SLEEP_IN_ATOMIC,
    context_enter,
    held_of,
    lockdep_acquired,
    lockdep_on,
    lockdep_released,
    lockdep_report,
    lockdep_words,
    may_acquire,
    may_block,
    may_enter,
    may_trylock,
    read_splats,
)
from emu.sync.online import cpu_online, pcp_cpu_now, set_cpu_online, worker_pcp_cpu
from emu.sync.preempt import (
    CPU,
    NOBODY,
    atomic_depth,
    cpu_enter,
    cpu_of,
    do_softirq,
    model_section,
    preempt_disable,
    preempt_enable,
    preemptible,
    ring_or_defer,
)
from emu.sync.spinlock import (
    EXIT_ABANDONED,
    LOCK,
    rt_spin_lock,
    rt_spin_unlock,
    spin_lock,
    spin_lock_timed,
    spin_trylock,
    spin_trylock_timed,
    spin_unlock,
    spin_unlock_timed,
)

__all__ = [
    "cpu_online", "pcp_cpu_now", "set_cpu_online", "worker_pcp_cpu",
    "CALL_IN_NMI", "CONTEXT_NAMES", "CPU", "CTX_HARDIRQ", "CTX_IN_ALLOCATOR", "CTX_NMI", "CTX_RAW_LOCK",
    "CTX_SOFTIRQ", "CTX_TASK", "CTX_TASK_ATOMIC", "CTX_ZONE_LOCK", "EXIT_ABANDONED", "HELD", "INVALID_WAIT_CONTEXT",
    "LC", "LOCK", "LOCKDEP", "NOBODY", "ON_VIOLATION", "SELF_DEADLOCK", "SLEEP_IN_ATOMIC", "atomic_depth",
    "bell_seen", "context_enter", "cpu_enter", "cpu_of", "do_softirq", "held_of", "lockdep_acquired", "lockdep_on",
    "lockdep_released", "lockdep_report", "lockdep_words", "may_acquire", "may_block", "may_enter", "may_trylock",
    "model_section", "preempt_disable", "preempt_enable", "preemptible", "proc_ring", "proc_sleep", "read_splats",
    "ring_or_defer", "rt_spin_lock", "rt_spin_unlock", "spin_lock", "spin_lock_timed", "spin_trylock",
    "spin_trylock_timed", "spin_unlock", "spin_unlock_timed",
]
