"""Locks, bells and preemption: how processes that stand for CPUs keep out of each other's way.

Door of the room. Knows nothing of pages or grace periods.
"""

from emu.sync.bell import bell_seen, proc_ring, proc_sleep
from emu.sync.preempt import (
    CPU,
    NOBODY,
    cpu_enter,
    cpu_of,
    preempt_disable,
    preempt_enable,
    preemptible,
    ring_or_defer,
)
from emu.sync.spinlock import (
    EXIT_ABANDONED,
    LOCK,
    spin_lock,
    spin_lock_timed,
    spin_trylock,
    spin_unlock,
    spin_unlock_timed,
)

__all__ = [
    "CPU", "EXIT_ABANDONED", "LOCK", "NOBODY", "bell_seen", "cpu_enter", "cpu_of", "preempt_disable",
    "preempt_enable", "preemptible", "proc_ring", "proc_sleep", "ring_or_defer", "spin_lock",
    "spin_lock_timed", "spin_trylock", "spin_unlock", "spin_unlock_timed",
]
