"""Locks that are locks in the kernel: they record holder, waiting, holding, and a holder that lost its core.

Holds   LOCK and the steps over it.
Rule    the word is 0 or the holder's process index + 1. Nobody spins for a lock whose holder shares the core: the
        holder cannot run meanwhile, so the waiter sleeps on the lock word and the unlock wakes it. A
        waiter on another core spins briefly, then gives its core away between looks.
        Counters of a lock are written under it, except `contended`, `wait_ns` and `descheduled`.
Limits  not fair, not recursive: taking it twice is a fault. A waiter leaves its process when the run is aborted,
        because the holder may be dead.
After   Linux kernel/locking; the sleeping waiter on the same core is our own answer to a descheduled holder,
        which a real CPU with interrupts off cannot meet and a virtual CPU can.
"""

from emu.arch import (
    cmpxchg_acquire,
    cpu_relax,
    exit_now,
    fetch_add_relaxed,
    futex_wait,
    futex_wake,
    jit,
    jit_apart,
    load_relaxed,
    store_relaxed,
    store_release,
)
from emu.shm import ABORT, F_LOCK_STOLEN, F_SELF_DEADLOCK, HEADER, PROC, line, now_ns, proc_of, raise_fault, struct

LOCK = struct(
    "lock",
    line("holder; waiters: anyone", "word", "waiters", "acquired", "hold_ns", "hold_max_ns", "since", "contended",
         "wait_ns", "descheduled"),
)

SPINS_BEFORE_YIELD = 64  # rounds of 16 pauses: about 20-50 us, longer than any section held by a running process
SAME_CORE_SLEEP_NS = 10_000_000  # bound on a sleep whose wake-up was lost to an abort
OTHER_CORE_SLEEP_NS = 50_000
EXIT_ABANDONED = 75


@jit
def spin_lock(seg, me, lock):
    """Take the lock at word `lock` for process `me`. Not from a holder of it. ACQ lock.section."""
    if cmpxchg_acquire(seg, lock, 0, me + 1) != 0:  # ACQ lock.section: lock before section. Pairs with spin_unlock()
        spin_lock_slow(seg, me, lock)
    seg[lock + LOCK.acquired] += 1


@jit
def spin_trylock(seg, me, lock):
    """Take the lock if it is free; 1 if taken. Never waits."""
    if load_relaxed(seg, lock) != 0:
        return 0
    if cmpxchg_acquire(seg, lock, 0, me + 1) != 0:  # ACQ lock.section: as in spin_lock()
        return 0
    seg[lock + LOCK.acquired] += 1
    return 1


@jit
def spin_unlock(seg, me, lock):
    """Release the lock. Holder only (checked when verify is on). Wakes waiters that sleep for it."""
    if seg[HEADER.verify] != 0:
        holder = load_relaxed(seg, lock)
        if holder != me + 1:
            raise_fault(seg, me, F_LOCK_STOLEN, lock, me + 1, holder)
    store_release(seg, lock, 0)  # REL lock.section: section before lock. Pairs with ACQ in spin_lock()
    # Relaxed is enough: a waiter that sleeps shares this core, so it saw the word before it slept (or sleeps bounded).
    if load_relaxed(seg, lock + LOCK.waiters) != 0:
        store_relaxed(seg, lock + LOCK.waiters, 0)
        futex_wake(seg, lock, 1 << 30)


@jit
def spin_lock_timed(seg, me, lock):
    """spin_lock(), noting the time for hold statistics: for locks of the slow path."""
    spin_lock(seg, me, lock)
    seg[lock + LOCK.since] = now_ns(seg)


@jit
def spin_unlock_timed(seg, me, lock):
    """spin_unlock() of a lock taken by spin_lock_timed(); adds up the hold time. Returns it, in ns."""
    held = now_ns(seg) - seg[lock + LOCK.since]
    seg[lock + LOCK.hold_ns] += held
    if held > seg[lock + LOCK.hold_max_ns]:
        seg[lock + LOCK.hold_max_ns] = held
    spin_unlock(seg, me, lock)
    return held


@jit
def shares_core(seg, me, other):
    """1 if both processes are pinned to one and the same core."""
    mine = seg[proc_of(seg, me) + PROC.core]
    return 1 if mine >= 0 and mine == seg[proc_of(seg, other) + PROC.core] else 0


@jit_apart
def spin_lock_slow(seg, me, lock):
    """The contended half of spin_lock()."""
    fetch_add_relaxed(seg, lock + LOCK.contended, 1)
    start = now_ns(seg)
    rounds = 0
    descheduled = 0
    while True:
        holder = load_relaxed(seg, lock)
        if holder == 0:
            if cmpxchg_acquire(seg, lock, 0, me + 1) == 0:  # ACQ lock.section: as in spin_lock()
                break
        elif holder == me + 1:
            raise_fault(seg, me, F_SELF_DEADLOCK, lock, 0, 0)
            break  # already ours: the run is stopping, and hanging here would hide why
        elif shares_core(seg, me, holder - 1) != 0:
            descheduled = 1
            store_relaxed(seg, lock + LOCK.waiters, 1)
            if load_relaxed(seg, lock) == holder:
                futex_wait(seg, lock, holder, now_ns(seg) + SAME_CORE_SLEEP_NS)
        elif rounds >= SPINS_BEFORE_YIELD:
            descheduled = 1
            futex_wait(seg, lock, holder, now_ns(seg) + OTHER_CORE_SLEEP_NS)
        else:
            rounds += 1
            for _ in range(16):
                cpu_relax()
        if load_relaxed(seg, HEADER.run_state) == ABORT and load_relaxed(seg, HEADER.fault) == 0:
            exit_now(EXIT_ABANDONED)
    fetch_add_relaxed(seg, lock + LOCK.wait_ns, now_ns(seg) - start)
    if descheduled != 0:
        fetch_add_relaxed(seg, lock + LOCK.descheduled, 1)
    return 0
