"""Who may take which free pages: marks by request, and a free count that moves with them."""

import pytest

from emu.mm import GFP_ATOMIC, GFP_BY_NAME, GFP_KERNEL, GFP_KERNEL_NORETRY, GFP_NOWAIT, ZONE, zone_of
from emu.mm.gfp import (
    GFP_DIRECT_RECLAIM,
    GFP_HIGH,
    GFP_KSWAPD_RECLAIM,
    GFP_MEMALLOC,
    GFP_NOMEMALLOC,
    GFP_NORETRY,
    GFP_NOWARN,
)
from emu.mm.zone import (
    ZONE_NORMAL,
    zone_free_add,
    zone_lock,
    zone_unlock,
    zone_watermark_ok,
)
from emu.stats import HIST, hist_count
from emu.sync import LOCK
from tests.small_machine import small_machine
from tests.unit.mm.memory import mark_for, set_zone, zone_word

MIN, LOW = 1000, 1250

# request -> what it must leave on the slow path, of MIN = 1000. The table of the kernel's allocation flags.
FLOORS = {
    "GFP_KERNEL": (GFP_KERNEL, 1000),
    "GFP_NOWAIT": (GFP_NOWAIT, 1000),
    "kswapd flag alone": (GFP_KSWAPD_RECLAIM, 1000),
    "no flag": (0, 1000),
    "NORETRY": (GFP_KERNEL | GFP_NORETRY, 1000),
    "NORETRY and NOMEMALLOC": (GFP_KERNEL_NORETRY, 1000),
    "__GFP_HIGH, may reclaim": (GFP_HIGH | GFP_DIRECT_RECLAIM, 500),
    "GFP_KERNEL with __GFP_HIGH": (GFP_KERNEL | GFP_HIGH, 500),
    "GFP_ATOMIC": (GFP_ATOMIC, 375),
    "__GFP_HIGH, may not sleep": (GFP_HIGH, 375),
    "GFP_ATOMIC with NOMEMALLOC": (GFP_ATOMIC | GFP_NOMEMALLOC, 500),
    "NOMEMALLOC": (GFP_NOWAIT | GFP_NOMEMALLOC, 1000),
    "MEMALLOC": (GFP_KERNEL | GFP_MEMALLOC, 0),
    "MEMALLOC in atomic context": (GFP_ATOMIC | GFP_MEMALLOC, 0),
    "MEMALLOC with NOMEMALLOC": (GFP_KERNEL | GFP_MEMALLOC | GFP_NOMEMALLOC, 1000),
    "MEMALLOC with NOMEMALLOC and __GFP_HIGH": (GFP_ATOMIC | GFP_MEMALLOC | GFP_NOMEMALLOC, 500),
}


@pytest.fixture
def seg():
    seg = small_machine().seg
    set_zone(seg, wmark_min=MIN, wmark_low=LOW, wmark_high=1500)
    return seg


@pytest.mark.parametrize("request_name", FLOORS)
def test_floor_of_each_request(seg, request_name):
    gfp, floor = FLOORS[request_name]
    zone = zone_of(seg, 0)
    for quiet in (0, GFP_NOWARN):
        assert mark_for(seg, zone, gfp | quiet, 0) == floor
        assert mark_for(seg, zone, gfp | quiet, 1) == LOW  # the first pass makes no exception for anyone


@pytest.mark.parametrize("minimum, atomic, high", [(1376, 516, 688), (991, 372, 496), (7986, 2995, 3993)])
def test_atomic_floor_of_a_phone_a_board_and_a_server(seg, minimum, atomic, high):
    set_zone(seg, wmark_min=minimum)
    assert mark_for(seg, zone_of(seg, 0), GFP_ATOMIC, 0) == atomic
    assert mark_for(seg, zone_of(seg, 0), GFP_HIGH | GFP_DIRECT_RECLAIM, 0) == high


def test_lowmem_reserve_comes_on_top_of_every_mark(seg):
    seg[zone_of(seg, 0) + ZONE.lowmem_reserve + ZONE_NORMAL] = 17
    zone = zone_of(seg, 0)
    assert mark_for(seg, zone, GFP_ATOMIC, 0) == 375 + 17
    assert mark_for(seg, zone, GFP_KERNEL, 0) == MIN + 17
    assert mark_for(seg, zone, GFP_KERNEL, 1) == LOW + 17


def test_boost_raises_the_marks(seg):
    set_zone(seg, boost=100)
    zone = zone_of(seg, 0)
    assert mark_for(seg, zone, GFP_KERNEL, 0) == MIN + 100
    assert mark_for(seg, zone, GFP_KERNEL, 1) == LOW + 100


def test_names_of_requests_have_the_kernels_floors(seg):
    floors = {name: mark_for(seg, zone_of(seg, 0), gfp, 0) for name, gfp in GFP_BY_NAME.items()}
    assert floors == {"kernel": 1000, "kernel-noretry": 1000, "nowait": 1000, "atomic": 375}


def test_free_pages_must_exceed_the_mark_not_reach_it(seg):
    zone = zone_of(seg, 0)
    for free, ok in ((MIN - 1, 0), (MIN, 0), (MIN + 1, 1)):
        set_zone(seg, nr_free=free)
        assert zone_watermark_ok(seg, zone, 0, MIN, ZONE_NORMAL, 0) == ok
    set_zone(seg, nr_free=0)
    assert zone_watermark_ok(seg, zone, 0, 0, ZONE_NORMAL, 0) == 0


def test_pages_kept_for_high_order_atomics_do_not_count(seg):
    zone = zone_of(seg, 0)
    set_zone(seg, nr_free=MIN + 10, nr_free_highatomic=9)
    assert zone_watermark_ok(seg, zone, 0, MIN, ZONE_NORMAL, 0) == 1
    set_zone(seg, nr_free_highatomic=10)
    assert zone_watermark_ok(seg, zone, 0, MIN, ZONE_NORMAL, 0) == 0


def test_the_lowest_free_count_is_remembered(seg):
    zone = zone_of(seg, 0)
    before = zone_word(seg, "nr_free")
    for pages in (-30, -5, 20, -7, 22):
        zone_free_add(seg, zone, pages)
    assert zone_word(seg, "nr_free") == before
    assert zone_word(seg, "nr_free_min") == before - 35


def test_each_hold_of_the_zone_lock_is_timed_by_its_holder(seg):
    zone = zone_of(seg, 0)
    lock = zone + ZONE.lock
    taken = seg[lock + LOCK.acquired]
    before = hist_count(seg, 1, HIST.zone_lock_hold_ns)
    zone_lock(seg, 1, zone)
    assert seg[lock] == 2
    zone_unlock(seg, 1, zone)
    assert seg[lock] == 0
    assert seg[lock + LOCK.acquired] == taken + 1
    assert hist_count(seg, 1, HIST.zone_lock_hold_ns) == before + 1
    assert hist_count(seg, 0, HIST.zone_lock_hold_ns) == 0
