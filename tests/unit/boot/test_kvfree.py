"""An epoch's rules in the batch heads, and rings that hold every batch."""

import pytest

from emu.kvfree import CB, KRC, KVFREE, MAX_BATCHES, cb_of, kvfree_of
from tests.small_machine import small_machine


@pytest.mark.parametrize(("epoch", "polled", "whole", "to_worker"),
                         [("E59", 0, 0, 1), ("E511", 0, 0, 0), ("E61", 0, 0, 0), ("E612", 1, 1, 0)])
def test_an_epoch_s_rules_reach_the_machine(epoch, polled, whole, to_worker):
    machine = small_machine(f"run.epoch={epoch}")
    seg, config = machine.seg, kvfree_of(machine.seg)
    assert [seg[config + word] for word in (KVFREE.polled, KVFREE.whole_slot, KVFREE.freed_to_worker)] == [
        polled, whole, to_worker]
    assert seg[config + KVFREE.drain_jiffies] == machine.plan.resolved.kvfree.drain_jiffies
    krc = machine.plan.krc(1)
    assert (seg[krc + KRC.cap], seg[krc + KRC.header]) == ((507, 5) if polled else (510, 2))


def test_hand_over_rings_hold_every_batch_there_can_be():
    machine = small_machine("run.epoch=E61", "cpus.count=5")
    seg = machine.seg
    rings = set()
    for index in range(5):
        cb = cb_of(seg, index)
        assert seg[cb + CB.proc] == machine.index(f"reclaim/{index}")
        assert seg[cb + CB.capacity] > 5 * MAX_BATCHES
        rings |= {seg[cb + CB.to_coordinator], seg[cb + CB.to_reclaim]}
    assert len(rings) == 10
