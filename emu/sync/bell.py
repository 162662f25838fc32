"""Sleeping and waking a process: each sleeps on its own bell, anyone may ring it.

Holds   the steps over PROC.bell and PROC.sleeping.
Rule    sleeper: read the bell, look at the condition, announce, fence, read the bell again, sleep.
        ringer: make the condition true, move the bell, fence, wake only who announced itself.
        Either the ringer sees the announcement or the sleeper sees the moved bell: a store-then-load
        shape, hence a full fence at both ends (edge bell.sleep).
Limits  one sleeper per bell, its owner. A wake-up may come for nothing.
After   futex(2); the kernel's set_current_state() / wake_up_process() pairing.
"""

from emu.arch import (
    fetch_add_acq_rel,
    futex_wait,
    futex_wake,
    jit,
    jit_apart,
    load_acquire,
    load_relaxed,
    smp_mb,
    smp_mb_after_atomic,
    store_relaxed,
)
from emu.shm import PROC, proc_of


@jit
def bell_seen(seg, me):
    """The bell of `me` as of now: read it before looking at the condition that proc_sleep() waits for."""
    # ACQ bell.cause: bell before the cause. Pairs with REL in proc_ring().
    return load_acquire(seg, proc_of(seg, me) + PROC.bell)


@jit_apart
def proc_sleep(seg, me, seen, deadline_ns):
    """Sleep until the bell moves on from `seen`, or the monotonic deadline. Owner only. May return early."""
    proc = proc_of(seg, me)
    store_relaxed(seg, proc + PROC.sleeping, 1)
    smp_mb()  # MB bell.sleep: announcement before the second look. Pairs with the fence in proc_ring()
    if load_relaxed(seg, proc + PROC.bell) == seen:
        futex_wait(seg, proc + PROC.bell, seen, deadline_ns)
    store_relaxed(seg, proc + PROC.sleeping, 0)
    return 0


@jit_apart
def proc_ring(seg, target):
    """Ring the bell of process `target`; a system call only when it sleeps. Anyone, any time."""
    proc = proc_of(seg, target)
    fetch_add_acq_rel(seg, proc + PROC.bell, 1)  # REL bell.cause: cause before bell. Pairs with ACQ in bell_seen()
    smp_mb_after_atomic()  # MB bell.sleep: bell before the look at `sleeping`. Pairs with proc_sleep()
    if load_relaxed(seg, proc + PROC.sleeping) != 0:
        futex_wake(seg, proc + PROC.bell, 1)
    return 0
