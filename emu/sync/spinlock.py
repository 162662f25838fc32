"""Locks that are locks in the kernel: they record holder, waiting, holding, and a holder that lost its core.

Holds   LOCK and the steps over it: spin_lock() for raw_spinlock_t, rt_spin_lock() for spinlock_t.
Rule    the word is 0, the holder's process index + 1, or QUEUED: free, but for the first in the queue. Waiters queue
        as in the kernel's queued spinlock: each spins on its own word (PROC.mcs_granted), the first of them on the
        lock. Nobody spins for a lock whose holder, or the waiter before it, shares the core: that one cannot
        run meanwhile, so the waiter sleeps and is woken; and it does not queue, because on a real CPU nobody
        waits for a holder of his own CPU. A first in the queue that does not come for a free lock has lost its core: a
        newcomer takes the lock past it after a few us. A waiter on another core spins briefly, then gives its core away
        between looks. With `sleeps` set (a spinlock_t on RT) waiters sleep at once, in no order but the scheduler's.
        Counters of a lock are written under it, except `contended`, `wait_ns` and `descheduled`.
Limits  not recursive: taking it twice is a fault. A waiter leaves its process when the run is aborted, because the
        holder may be dead.
Edges   lock.queue   the own node before the place in the queue; what was done with the lock before its hand-on
After   Linux kernel/locking/qspinlock.c, rtmutex.c; the sleeping waiter on the same core is our own answer to a
        descheduled holder, which a real CPU with interrupts off cannot meet and a virtual CPU can.
"""

from emu.arch import (
    cmpxchg_acq_rel,
    cmpxchg_acquire,
    cpu_relax,
    exit_now,
    fetch_add_relaxed,
    futex_wait,
    futex_wake,
    jit,
    jit_apart,
    load_acquire,
    load_relaxed,
    smp_mb,
    store_relaxed,
    store_release,
    xchg_acq_rel,
)
from emu.shm import ABORT, F_LOCK_STOLEN, F_SELF_DEADLOCK, HEADER, PROC, line, now_ns, proc_of, raise_fault, struct
from emu.stats import hist_record

LOCK = struct(
    "lock",
    line("holder; waiters: anyone; sleeps, wait_hist: boot()", "word", "waiters", "acquired", "hold_ns", "hold_max_ns",
         "since", "contended", "wait_ns", "descheduled", "tail", "handover", "sleeps", "wait_hist"),
)
QUEUED = -1  # of the word: nobody holds it, the first in the queue will take it

ROUNDS_BEFORE_STEALING = 8  # a few us: a first in the queue that is on its core has taken the lock by then
SPINS_BEFORE_YIELD = 64  # rounds of 16 pauses: about 20-50 us, longer than any section held by a running process
SAME_CORE_SLEEP_NS = 10_000_000  # bound on a sleep whose wake-up was lost to an abort
OTHER_CORE_SLEEP_NS = 50_000
RT_SLEEP_NS = 1_000_000  # of a lock that sleeps: a bound only, its release wakes
EXIT_ABANDONED = 75
WAITING, GRANTED, ASLEEP = 0, 1, 2  # PROC.mcs_granted


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
    # REL lock.section: section before lock. Pairs with ACQ in spin_lock(). A stale `handover` lets a newcomer in first,
    # or sends it to the queue: both are sound.
    store_release(seg, lock, load_relaxed(seg, lock + LOCK.handover))
    # Relaxed is enough: a waiter that sleeps shares this core, so it saw the word before it slept (or sleeps bounded).
    if load_relaxed(seg, lock + LOCK.waiters) != 0:
        store_relaxed(seg, lock + LOCK.waiters, 0)
        futex_wake(seg, lock, 1 << 30)


@jit
def rt_spin_lock(seg, me, lock):
    """Take a spinlock_t: as spin_lock(), but where `sleeps` is set waiters sleep. Not from a holder of it."""
    spin_lock(seg, me, lock)


@jit
def rt_spin_unlock(seg, me, lock):
    """Release a spinlock_t. Holder only."""
    spin_unlock(seg, me, lock)
    if seg[lock + LOCK.sleeps] != 0:
        smp_mb()  # MB lock.sleep: the word before the second look at waiters. Pairs with sleep_for_lock()
        if load_relaxed(seg, lock + LOCK.waiters) != 0:
            store_relaxed(seg, lock + LOCK.waiters, 0)
            futex_wake(seg, lock, 1 << 30)


@jit
def spin_lock_timed(seg, me, lock):
    """rt_spin_lock(), noting the time for hold statistics: for locks of the slow path."""
    spin_lock(seg, me, lock)
    seg[lock + LOCK.since] = now_ns(seg)


@jit
def spin_trylock_timed(seg, me, lock):
    """spin_trylock(), noting the time as spin_lock_timed() does; 1 if taken."""
    if spin_trylock(seg, me, lock) == 0:
        return 0
    seg[lock + LOCK.since] = now_ns(seg)
    return 1


@jit
def spin_unlock_timed(seg, me, lock):
    """rt_spin_unlock() of a lock taken by spin_lock_timed(); adds up the hold time. Returns it, in ns."""
    held = now_ns(seg) - seg[lock + LOCK.since]
    seg[lock + LOCK.hold_ns] += held
    if held > seg[lock + LOCK.hold_max_ns]:
        seg[lock + LOCK.hold_max_ns] = held
    rt_spin_unlock(seg, me, lock)
    return held


@jit
def shares_core(seg, me, other):
    """1 if both processes are pinned to one and the same core."""
    mine = seg[proc_of(seg, me) + PROC.core]
    return 1 if mine >= 0 and mine == seg[proc_of(seg, other) + PROC.core] else 0


@jit
def leave_if_abandoned(seg):
    """End this process if the run was aborted without a fault: whoever was waited for may be dead."""
    if load_relaxed(seg, HEADER.run_state) == ABORT and load_relaxed(seg, HEADER.fault) == 0:
        exit_now(EXIT_ABANDONED)


@jit
def sleep_for_lock(seg, lock, holder, span):
    """Sleep on the lock word while `holder` stands in it, at most `span` ns."""
    store_relaxed(seg, lock + LOCK.waiters, 1)
    smp_mb()  # MB lock.sleep: announcement before the second look. Pairs with rt_spin_unlock()
    if load_relaxed(seg, lock) == holder:
        futex_wait(seg, lock, holder, now_ns(seg) + span)


@jit
def pause_a_round():
    """A moment of spinning."""
    for _ in range(16):
        cpu_relax()


@jit_apart
def queue_for(seg, me, lock):
    """Wait in the queue until the lock is `me`'s to take next. Returns 1 if somebody before it had lost its core."""
    node = proc_of(seg, me)
    store_relaxed(seg, node + PROC.mcs_next, 0)
    store_relaxed(seg, node + PROC.mcs_granted, WAITING)
    # REL lock.queue: own node before the place in the queue. ACQ lock.queue: the tail before the node that it names.
    before = xchg_acq_rel(seg, lock + LOCK.tail, me + 1)
    store_relaxed(seg, lock + LOCK.handover, QUEUED)
    if before == 0:
        return 0
    store_release(seg, proc_of(seg, before - 1) + PROC.mcs_next, me + 1)  # REL lock.queue: as above
    rounds = 0
    descheduled = 0
    # ACQ lock.queue: the grant before the look at the lock. Pairs with REL in hand_on().
    while load_acquire(seg, node + PROC.mcs_granted) != GRANTED:
        if rounds < SPINS_BEFORE_YIELD and shares_core(seg, me, before - 1) == 0:
            rounds += 1
            pause_a_round()
        # ACQ lock.queue: as above; ASLEEP asks hand_on() for a wake-up.
        elif cmpxchg_acq_rel(seg, node + PROC.mcs_granted, WAITING, ASLEEP) != GRANTED:
            descheduled = 1
            futex_wait(seg, node + PROC.mcs_granted, ASLEEP, now_ns(seg) + SAME_CORE_SLEEP_NS)
        leave_if_abandoned(seg)
    return descheduled


@jit_apart
def hand_on(seg, me, lock):
    """Leave the queue with the lock in hand: the next in it is first now."""
    # REL lock.queue: own node read to its end before the place is given up. ACQ lock.queue: as in queue_for().
    if cmpxchg_acq_rel(seg, lock + LOCK.tail, me + 1, 0) == me + 1:
        store_relaxed(seg, lock + LOCK.handover, 0)
        return 0
    node = proc_of(seg, me)
    rounds = 0
    while True:
        after = load_acquire(seg, node + PROC.mcs_next)  # ACQ lock.queue: the link before the node
        if after != 0:
            break
        rounds += 1  # it has its place and was taken off its core before it said so
        if rounds < SPINS_BEFORE_YIELD:
            pause_a_round()
        else:
            futex_wait(seg, node + PROC.mcs_next, 0, now_ns(seg) + OTHER_CORE_SLEEP_NS)
        leave_if_abandoned(seg)
    word = proc_of(seg, after - 1) + PROC.mcs_granted
    # REL lock.queue: the look at the own node before the grant. Pairs with ACQ in queue_for().
    if xchg_acq_rel(seg, word, GRANTED) == ASLEEP:
        futex_wake(seg, word, 1)
    return 0


@jit_apart
def spin_lock_slow(seg, me, lock):
    """The contended half of spin_lock()."""
    fetch_add_relaxed(seg, lock + LOCK.contended, 1)
    start = now_ns(seg)
    rounds = 0
    descheduled = 0
    queued = 0
    while True:
        holder = load_relaxed(seg, lock)
        if holder == 0 or (holder == QUEUED and queued != 0):
            if cmpxchg_acquire(seg, lock, holder, me + 1) == holder:  # ACQ lock.section: as in spin_lock()
                break
        elif holder == QUEUED:  # kept for the first in the queue; who does not come has lost its core
            rounds += 1
            if rounds < ROUNDS_BEFORE_STEALING:
                pause_a_round()
            elif cmpxchg_acquire(seg, lock, QUEUED, me + 1) == QUEUED:  # ACQ lock.section: as in spin_lock()
                if load_relaxed(seg, lock + LOCK.tail) == 0:
                    store_relaxed(seg, lock + LOCK.handover, 0)
                break
        elif holder == me + 1:
            raise_fault(seg, me, F_SELF_DEADLOCK, lock, 0, 0)
            break  # already ours: the run is stopping, and hanging here would hide why
        elif shares_core(seg, me, holder - 1) != 0:
            descheduled = 1
            sleep_for_lock(seg, lock, holder, SAME_CORE_SLEEP_NS)
        elif seg[lock + LOCK.sleeps] != 0:
            sleep_for_lock(seg, lock, holder, RT_SLEEP_NS)
        elif queued == 0:
            descheduled |= queue_for(seg, me, lock)
            queued = 1
        elif rounds >= SPINS_BEFORE_YIELD:
            descheduled = 1
            futex_wait(seg, lock, holder, now_ns(seg) + OTHER_CORE_SLEEP_NS)
        else:
            rounds += 1
            pause_a_round()
        leave_if_abandoned(seg)
    if queued != 0:
        hand_on(seg, me, lock)
    waited = now_ns(seg) - start
    fetch_add_relaxed(seg, lock + LOCK.wait_ns, waited)
    if seg[lock + LOCK.wait_hist] != 0:
        hist_record(seg, me, seg[lock + LOCK.wait_hist] - 1, waited)
    if descheduled != 0:
        fetch_add_relaxed(seg, lock + LOCK.descheduled, 1)
    return 0
