"""Loops over the way of an object: retired, and freed again after a grace period.

Rule    as in primitives.py; n counts objects. One process plays mutator, reclaim daemon and coordinator in turn.
Limits  `retire` leaves out what a call does once per page (asking the policy, arming the monitor) and everything that
        a call does not do itself: allocation, the load's choice of context and object, sampling. Objects that it
        retires are never freed: their bnode is emptied by resetting its count.
        `steady` leaves out waiting: the CPU reports its quiescent states at once, where a run waits for its ticks.
"""

from emu.arch import cmpxchg_acquire, jit, load_acquire, load_relaxed, store_relaxed, store_release
from emu.bench.machine import COORDINATOR_0, MUTATOR_0, RECLAIM_0, BenchMachine
from emu.bench.primitives import bare_words
from emu.kvfree import (
    BNODE,
    KRC,
    TO_ARRAY,
    advance_callbacks,
    all_reclaimed,
    kfree_rcu_monitor,
    krc_of,
    kvfree_call_rcu,
)
from emu.kvfree.krc import append
from emu.kvfree.monitor import reclaim_batches
from emu.mm import GFP_KERNEL, POISON, kmalloc, scratch_of
from emu.rcu import gp_kthread_step, rcu_eqs_exit, rcu_qs
from emu.shm import now_ns
from emu.sync import spin_lock, spin_unlock

LIVE_OBJECTS = 64  # retired again and again; their addresses stand in the mutator's scratch words
BNODES_PER_BATCH = 5
RECORDS = 507
BATCH = BNODES_PER_BATCH * RECORDS  # what the five cached pages of epoch E612 hold
TURNS = 64  # more looks than a batch can need: so many mean that it is stuck
_LINE = 16


@jit
def make_objects(seg):
    """Allocate the objects to be retired, and retire one, which opens a bnode; returns where that went."""
    at = scratch_of(seg, MUTATOR_0)
    for i in range(LIVE_OBJECTS):
        seg[at + i] = kmalloc(seg, MUTATOR_0, 0, 0, GFP_KERNEL)
    return kvfree_call_rcu(seg, MUTATOR_0, 0, seg[at])


def prepare_retire(machine: BenchMachine) -> None:
    """A krc with an open bnode, and live objects."""
    assert make_objects(machine.seg) == TO_ARRAY


@jit
def bench_retire(seg, n):
    """kvfree_call_rcu() on its array path, into one bnode that is emptied by hand when it is full."""
    krc = krc_of(seg, 0)
    objects = scratch_of(seg, MUTATOR_0)
    capacity = seg[krc + KRC.cap]
    done = 0
    ways = 0
    while done < n:
        seg[seg[krc + KRC.bulk_head] + BNODE.nr_records] = 0
        some = min(capacity, n - done)
        for i in range(some):
            ways += kvfree_call_rcu(seg, MUTATOR_0, 0, seg[objects + (i & (LIVE_OBJECTS - 1))])
        done += some
    return ways


@jit
def bare_retire(seg, n):
    """One locked swap, a pointer and a cookie stored, six counts moved, the words that decide looked at."""
    words = bare_words(seg)
    objects = scratch_of(seg, MUTATOR_0)
    seen = 0
    for i in range(n):
        cmpxchg_acquire(seg, words, 0, 1)
        seg[words + 1] += 1
        seen += seg[words + _LINE + 1]
        at = seg[words + _LINE]
        seg[words + 4 * _LINE + at] = seg[objects + (i & (LIVE_OBJECTS - 1))]
        seg[words + _LINE] = (at + 1) & 255
        seg[words + _LINE + 2] = load_acquire(seg, words + 2 * _LINE) + 7
        seg[words + _LINE + 3] += 1
        seg[words + _LINE + 4] += 1
        seen += seg[words + _LINE + 5] + seg[words + _LINE + 6] + seg[words + _LINE + 7]
        store_relaxed(seg, words + 3 * _LINE, load_relaxed(seg, words + 3 * _LINE) + 1)
        store_release(seg, words, 0)
        seen += load_relaxed(seg, words + 2)
        store_relaxed(seg, words + 3 * _LINE + 1, load_relaxed(seg, words + 3 * _LINE + 1) + 1)
    return seen


@jit
def bench_append(seg, n):
    """The lock and the append alone: pointer, count and cookie, under krc->lock."""
    krc = krc_of(seg, 0)
    bnode = seg[krc + KRC.bulk_head]
    objects = scratch_of(seg, MUTATOR_0)
    capacity = seg[krc + KRC.cap]
    done = 0
    while done < n:
        seg[bnode + BNODE.nr_records] = 0
        some = min(capacity, n - done)
        for i in range(some):
            obj = seg[objects + (i & (LIVE_OBJECTS - 1))]
            spin_lock(seg, MUTATOR_0, krc)
            append(seg, krc, bnode, 0, obj)
            spin_unlock(seg, MUTATOR_0, krc)
        done += some
    return done


@jit
def bare_append(seg, n):
    """One locked swap, a pointer and a count stored, a release."""
    words = bare_words(seg)
    objects = scratch_of(seg, MUTATOR_0)
    for i in range(n):
        cmpxchg_acquire(seg, words, 0, 1)
        at = seg[words + _LINE]
        seg[words + 4 * _LINE + at] = seg[objects + (i & (LIVE_OBJECTS - 1))]
        seg[words + _LINE] = (at + 1) & 255
        store_release(seg, words, 0)
    return seg[words + _LINE]


@jit
def allocate_and_retire(seg, objects):
    """Make objects and retire them, one after the other; returns how many went into bnodes."""
    arrays = 0
    for _ in range(objects):
        obj = kmalloc(seg, MUTATOR_0, 0, 0, GFP_KERNEL)
        if obj != 0 and kvfree_call_rcu(seg, MUTATOR_0, 0, obj) == TO_ARRAY:
            arrays += 1
    return arrays


@jit
def reclaim_everything(seg):
    """Monitor, grace period and reclaim in turn until nothing is queued; 1, or 0 if they are stuck."""
    kfree_rcu_monitor(seg, RECLAIM_0, 0, 0, 0)
    for _ in range(TURNS):
        if all_reclaimed(seg, 0, 1) != 0:
            return 1
        gp_kthread_step(seg, COORDINATOR_0, now_ns(seg))
        rcu_qs(seg, MUTATOR_0, 0)  # notices a grace period
        rcu_qs(seg, MUTATOR_0, 0)  # reports for it
        advance_callbacks(seg, COORDINATOR_0)
        reclaim_batches(seg, RECLAIM_0, 0, 0)
    return 0


@jit
def bench_steady(seg, n):
    """Allocate and retire a batch, then everything it takes to free it; batch after batch."""
    done = 0
    while done < n:
        some = min(BATCH, n - done)
        if allocate_and_retire(seg, some) != some or reclaim_everything(seg) == 0:
            return 0
        done += some
    return done


@jit
def bare_steady(seg, n):
    """Per object: four words cleared, a locked append, four words poisoned and the object linked. Nothing per page."""
    words = bare_words(seg)
    objects = scratch_of(seg, MUTATOR_0)
    done = 0
    while done < n:
        some = min(BATCH, n - done)
        for i in range(some):
            at = objects + ((i & 255) << 2)
            for word in range(4):
                store_relaxed(seg, at + word, 0)
            store_relaxed(seg, words + 3 * _LINE, load_relaxed(seg, words + 3 * _LINE) + 1)
            cmpxchg_acquire(seg, words, 0, 1)
            seg[words + 4 * _LINE + (i & 511)] = at
            seg[words + _LINE] = i
            store_release(seg, words, 0)
        for i in range(some):
            at = seg[words + 4 * _LINE + (i & 511)]
            seg[words + _LINE] = load_relaxed(seg, at + 2)
            for word in range(1, 4):
                store_relaxed(seg, at + word, POISON)
            seg[at] = i
        done += some
    return done


def prepare_steady(machine: BenchMachine) -> None:
    """The CPU is busy, so that its own reports end the grace period. One batch through, so that pages are cached."""
    rcu_eqs_exit(machine.seg, 0)
    assert bench_steady(machine.seg, 64) == 64
