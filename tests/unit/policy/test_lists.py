"""Sources that ask the allocator without waiting for a lock: whose mark, whose list, and what they leave alone."""

import pytest

from emu.mm import (
    GFP_KERNEL,
    MIGRATE_MOVABLE,
    MIGRATE_UNMOVABLE,
    PG_TAKEN,
    ZONE,
    alloc_page,
    free_page,
    pcp_count,
    pcp_of,
    zone_lock,
    zone_of,
    zone_unlock,
)
from emu.policy import GOT_NOTHING, stock_of, take_page
from emu.sync import CTX_HARDIRQ, CTX_SOFTIRQ, LOCK, context_enter
from tests.crew import Crew

NO_LOCKS = ["no-locks", "no-locks-late", "gfp-zero", "freelist-copy"]


def crew_with(source: str, *overrides: str, pages: int = 30, migratetype: int = MIGRATE_UNMOVABLE) -> Crew:
    """A machine with this source alone and pages on CPU 0's lists, where batches are of 8."""
    crew = Crew(f"policy.sources=['{source}']", "memory.pcp_rule='v5.9'", "memory.pcp_batch=8", "memory.pcp_high=100",
                *overrides)
    taken = [alloc_page(crew.seg, 0, 0, GFP_KERNEL, migratetype) for _ in range(pages)]
    for page in taken:
        free_page(crew.seg, 0, 0, page, PG_TAKEN, 0)
    return crew


def take_all(crew: Crew) -> int:
    pages = 0
    while take_page(crew.seg, 0, 0, stock_of(crew.seg, 0), 0, 0) != GOT_NOTHING:
        pages += 1
    return pages


def listed(crew: Crew) -> int:
    return pcp_count(crew.seg, pcp_of(crew.seg, 0, 0))


def zone_word(crew: Crew, name: str) -> int:
    return crew.seg[zone_of(crew.seg, 0) + getattr(ZONE, name)]


def between(crew: Crew, low: bool) -> None:
    """Put the LOW mark (and, if not low, MIN too) above what is free."""
    zone = zone_of(crew.seg, 0)
    crew.seg[zone + ZONE.auto_high] = 0
    crew.seg[zone + ZONE.wmark_low] = crew.seg[zone + ZONE.wmark_high] = crew.seg[zone + ZONE.nr_free]
    if not low:
        crew.seg[zone + ZONE.wmark_min] = crew.seg[zone + ZONE.nr_free]


@pytest.mark.parametrize("source", NO_LOCKS)
def test_no_lock_is_taken_and_an_empty_list_is_not_refilled(source):
    crew = crew_with(source)
    there = listed(crew)
    acquired = crew.seg[zone_of(crew.seg, 0) + ZONE.lock + LOCK.acquired]
    left = 4 if source == "gfp-zero" else 0  # half a batch
    assert take_all(crew) == there - left and listed(crew) == left
    assert crew.seg[zone_of(crew.seg, 0) + ZONE.lock + LOCK.acquired] == acquired
    assert (crew.counter("lists_hit"), crew.counter("lists_miss")) == (there - left, 1)
    assert crew.fault == 0


@pytest.mark.parametrize("source, below_low, below_min", [
    ("no-locks", False, False), ("no-locks-late", True, False), ("gfp-zero", True, False),
    ("freelist-copy", True, False)])
def test_each_has_its_own_mark(source, below_low, below_min):
    for low, expected in ((True, below_low), (False, below_min)):
        crew = crew_with(source)
        between(crew, low)
        assert (take_all(crew) > 0) == expected
        assert crew.fault == 0


@pytest.mark.parametrize("source", NO_LOCKS)
def test_the_wanted_type_alone_is_taken(source):
    crew = crew_with(source, pages=20, migratetype=MIGRATE_MOVABLE)
    assert take_all(crew) == 0 and listed(crew) > 0


def test_the_trylock_source_refills_from_the_buddy_and_stops_at_min():
    crew = crew_with("trylock", pages=0)
    crew.leave_free(20)
    assert take_all(crew) >= 20
    assert crew.counter("trylock_miss") == 1 and zone_word(crew, "nr_free") >= zone_word(crew, "wmark_min")


def test_the_trylock_source_fails_where_the_lock_is_held_and_waits_for_nobody():
    crew = crew_with("trylock", pages=0)
    holder = crew.coordinator
    zone_lock(crew.seg, holder, zone_of(crew.seg, 0))
    assert take_all(crew) == 0
    zone_unlock(crew.seg, holder, zone_of(crew.seg, 0))
    assert take_page(crew.seg, 0, 0, stock_of(crew.seg, 0), 0, 0) != GOT_NOTHING


@pytest.mark.parametrize("preemption, context, refused", [
    ("rt", CTX_HARDIRQ, True), ("rt", CTX_SOFTIRQ, False), ("full", CTX_HARDIRQ, False)])
def test_on_rt_the_trylock_source_is_refused_in_hard_interrupts(preemption, context, refused):
    crew = crew_with("trylock", f"run.preemption={preemption}", "lockdep.enabled=true")
    context_enter(crew.seg, 0, context)
    assert (take_page(crew.seg, 0, 0, stock_of(crew.seg, 0), 0, 0) == GOT_NOTHING) == refused
