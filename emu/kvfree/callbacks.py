"""call_rcu for batches: from the reclaim daemon to the coordinator, and back once the grace period is over.

Holds   CB, one per reclaim daemon: two rings of batch numbers.
Rule    a batch is cpu * MAX_BATCHES + slot. The daemon hands it over with its cookie written in the krw; cookies of one
        daemon never fall, so the first one that has not elapsed ends the look. Each ring has one producer
        and one consumer and room for every batch there can be.
After   Linux queue_rcu_work(), the callback list of kernel/rcu/rcu_segcblist.c (KF 2.10, 4.6).
"""

from emu.arch import jit
from emu.kvfree.krc import KRW, KVFREE, MAX_BATCHES, krc_of, krw_of, kvfree_of
from emu.rcu import poll_state_synchronize_rcu, rcu_request_gp
from emu.ring import SPSC_EMPTY, spsc_dequeue, spsc_enqueue
from emu.shm import F_RING_OVERFLOW, MAP, line, raise_fault, region, struct
from emu.sync import proc_ring

CB = struct(
    "callbacks",
    line("boot()", "proc", "to_coordinator", "to_reclaim", "capacity"),
    line("coordinator", "held"),
)


@jit
def cb_of(seg, index):
    """Word offset of the hand-over of reclaim daemon `index`."""
    return region(seg, MAP.rings) + index * CB.SIZE


@jit
def queue_rcu_work(seg, me, index, cpu, slot, cookie):
    """Hand a batch to the coordinator and ask for its grace period. The reclaim daemon `index` only."""
    cb = cb_of(seg, index)
    if spsc_enqueue(seg, seg[cb + CB.to_coordinator], cpu * MAX_BATCHES + slot) == 0:
        raise_fault(seg, me, F_RING_OVERFLOW, seg[cb + CB.to_coordinator], seg[cb + CB.capacity], 0)
    rcu_request_gp(seg, cookie)


@jit
def advance_callbacks(seg, me):
    """Pass on every batch whose grace period is over, wake the daemons that got one. Coordinator only; how many."""
    passed = 0
    for index in range(seg[kvfree_of(seg) + KVFREE.nr_reclaims]):
        cb = cb_of(seg, index)
        passed_here = 0
        while True:
            batch = seg[cb + CB.held] - 1
            if batch < 0:
                batch = spsc_dequeue(seg, seg[cb + CB.to_coordinator])
                if batch == SPSC_EMPTY:
                    break
                seg[cb + CB.held] = batch + 1
            cookie = seg[krw_of(krc_of(seg, batch // MAX_BATCHES), batch % MAX_BATCHES) + KRW.cookie]
            if poll_state_synchronize_rcu(seg, cookie) == 0:
                break
            seg[cb + CB.held] = 0
            if spsc_enqueue(seg, seg[cb + CB.to_reclaim], batch) == 0:
                raise_fault(seg, me, F_RING_OVERFLOW, seg[cb + CB.to_reclaim], seg[cb + CB.capacity], 1)
            passed_here += 1
        if passed_here != 0:
            proc_ring(seg, seg[cb + CB.proc])
        passed += passed_here
    return passed


@jit
def next_ready_batch(seg, index):
    """A batch whose grace period is over, or -1. The reclaim daemon `index` only."""
    batch = spsc_dequeue(seg, seg[cb_of(seg, index) + CB.to_reclaim])
    return -1 if batch == SPSC_EMPTY else batch
