"""How much a pass asks of a shrinker, and what it leaves for the next."""

from emu.kvfree import KRC, KVFREE
from emu.shm import MAP, region
from emu.vmscan import SHRINKER
from emu.vmscan.shrinker import do_shrink_slab
from tests.unit.vmscan.pressed import counters, pressed


def queued(machine, objects):
    """Say that CPU 0 has so many objects queued, and that the shrinker leaves caches alone."""
    machine.seg[machine.plan.krc(0) + KRC.count] = objects
    machine.seg[machine.plan.offsets["cfg_kvfree"] + KVFREE.shrinks_cache] = 0


def deferred(machine):
    return machine.seg[region(machine.seg, MAP.shrinker) + SHRINKER.nr_deferred]


def test_nothing_to_free_is_asked_for_nothing():
    machine = pressed(filled=False)
    assert do_shrink_slab(machine.seg, 0, 0, 0) == 0 == counters(machine)["slabs_scanned"]


def test_a_low_priority_asks_for_a_share_and_defers_what_is_below_a_batch():
    machine = pressed(filled=False)
    queued(machine, 4096)
    assert do_shrink_slab(machine.seg, 0, 0, 7) == 0  # 4096 / 128 * 4 / 2 = 64, below a batch of 128
    assert deferred(machine) == 64


def test_at_priority_zero_everything_is_asked_for():
    machine = pressed(filled=False)
    queued(machine, 1000)
    assert do_shrink_slab(machine.seg, 0, 0, 0) == 1000
    assert counters(machine)["slabs_scanned"] == 128  # the monitor was asked to run: a second time it has nothing
