"""Per-CPU lists by the newer rules: their lock, how much goes at once, and what a zone under pressure does to them."""

import pytest

from emu.mm import (
    GFP_KERNEL,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    PCP,
    PG_TAKEN,
    ZONE,
    alloc_page,
    free_page,
    pcp_count,
    pcp_decay,
    pcp_of,
    zone_of,
)
from emu.stats import VM, counter
from emu.sync import LOCK, spin_lock, spin_unlock
from tests.small_machine import small_machine
from tests.unit.mm.memory import fault_of, set_zone, zone_word

ME, OTHER = 0, 1


class Cpu:
    """CPU 0 of a machine with this rule, batches of 4 and these limits."""

    def __init__(self, rule, high_min=24, high_max=24):
        self.seg = small_machine(f'memory.pcp_rule="{rule}"', "memory.pcp_batch=4", "memory.managed_pages=4096").seg
        self.zone, self.pcp = zone_of(self.seg, 0), pcp_of(self.seg, 0, 0)
        set_zone(self.seg, high_min=high_min, high_max=high_max, wmark_min=0, wmark_low=0, wmark_high=0)
        self.set(high=high_min)

    def set(self, **values):
        for name, value in values.items():
            self.seg[self.pcp + getattr(PCP, name)] = value

    def word(self, name):
        return self.seg[self.pcp + getattr(PCP, name)]

    def get(self, pages):
        got = [alloc_page(self.seg, ME, 0, GFP_KERNEL, MIGRATE_UNMOVABLE) for _ in range(pages)]
        assert NO_PAGE not in got
        return got

    def free(self, pfns):
        """Free them one by one; how many pages each free drained."""
        drained = []
        for pfn in pfns:
            before = counter(self.seg, ME, VM.pcp_drain_pages)
            free_page(self.seg, ME, 0, pfn, PG_TAKEN, ME)
            drained.append(counter(self.seg, ME, VM.pcp_drain_pages) - before)
        return drained

    @property
    def count(self):
        return pcp_count(self.seg, self.pcp)


# --- pcp->lock ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["v6.1", "v6.7"])
def test_a_held_lock_sends_both_ways_to_the_buddy(rule):
    cpu = Cpu(rule)
    pages = cpu.get(1)
    free, count = zone_word(cpu.seg, "nr_free"), cpu.count
    spin_lock(cpu.seg, OTHER, cpu.pcp + PCP.lock)
    pages += cpu.get(2)
    assert (zone_word(cpu.seg, "nr_free"), cpu.count) == (free - 2, count)
    cpu.free(pages[1:])
    assert (zone_word(cpu.seg, "nr_free"), cpu.count) == (free, count)
    assert counter(cpu.seg, ME, VM.pcp_lock_contended) == 4
    spin_unlock(cpu.seg, OTHER, cpu.pcp + PCP.lock)
    cpu.free(pages[:1])
    assert cpu.count == count + 1
    assert fault_of(cpu.seg)[0] == 0


def test_the_oldest_rule_has_no_lock():
    cpu = Cpu("v5.9")
    cpu.free(cpu.get(50))
    pcp_decay(cpu.seg, ME, cpu.zone, cpu.pcp)
    assert cpu.seg[cpu.pcp + PCP.lock + LOCK.acquired] == 0


@pytest.mark.parametrize("rule", ["v6.1", "v6.7"])
def test_every_step_of_the_kernels_paths_takes_and_releases_the_lock_once(rule):
    cpu = Cpu(rule)
    cpu.free(cpu.get(10))
    assert cpu.seg[cpu.pcp + PCP.lock + LOCK.acquired] == 20
    assert cpu.seg[cpu.pcp + PCP.lock] == 0
    assert cpu.seg[cpu.pcp + PCP.lock + LOCK.hold_ns] > 0


# --- rule v6.1 ----------------------------------------------------------------------------------------------


def test_frees_in_a_row_double_what_goes_at_once_and_an_allocation_halves_it():
    cpu = Cpu("v6.1")
    pages = cpu.get(120)
    while cpu.count:
        pages += cpu.get(1)
    drained = [pages for pages in cpu.free(pages[:100]) if pages]
    assert drained[:4] == [4, 8, 16, 20]  # a batch is kept: 24 - 4 at most
    assert set(drained[3:]) == {20}
    factor = cpu.word("free_factor")
    cpu.get(1)
    assert cpu.word("free_factor") == factor >> 1


def test_a_list_is_short_while_kswapd_frees():
    cpu = Cpu("v6.1")
    pages = cpu.get(40)
    while cpu.count:
        pages += cpu.get(1)
    cpu.free(pages[:20])
    assert cpu.count == 20
    set_zone(cpu.seg, reclaim_active=1)
    assert cpu.free(pages[20:23]) == [4, 8, 0]  # four batches are the limit now
    assert cpu.word("high") == 24


# --- rule v6.7 ----------------------------------------------------------------------------------------------


def test_the_high_mark_passed_downwards_is_noted_and_stops_growth():
    cpu = Cpu("v6.7", high_min=16, high_max=400)
    set_zone(cpu.seg, wmark_high=zone_word(cpu.seg, "nr_free") - 100)
    cpu.get(20)
    high = cpu.word("high")
    assert high > 16 and zone_word(cpu.seg, "below_high") == 0
    cpu.get(200)
    assert zone_word(cpu.seg, "below_high") == 1
    grown = cpu.word("high")
    cpu.get(200)
    assert cpu.word("high") == grown


def test_a_zone_below_high_shrinks_the_list_with_each_free_and_forgets_when_above():
    cpu = Cpu("v6.7", high_min=8, high_max=400)
    pages = cpu.get(300)
    cpu.set(high=100, free_count=0)
    set_zone(cpu.seg, below_high=1, wmark_high=4000)
    highs = []
    for pfn in pages[:10]:
        cpu.free([pfn])
        highs.append(cpu.word("high"))
    assert highs[0] == 96 and highs == sorted(highs, reverse=True)
    assert zone_word(cpu.seg, "below_high") == 1
    cpu.free(pages[10:100])
    assert cpu.word("high") == 8
    assert zone_word(cpu.seg, "below_high") == 1
    set_zone(cpu.seg, wmark_high=0)
    cpu.free(pages[100:101])
    assert zone_word(cpu.seg, "below_high") == 0


def test_active_reclaim_shrinks_high_and_keeps_four_batches():
    cpu = Cpu("v6.7", high_min=8, high_max=400)
    pages = cpu.get(300)
    cpu.set(high=200, free_count=0)
    set_zone(cpu.seg, reclaim_active=1)
    cpu.free(pages[:200])
    assert cpu.word("high") == 8
    assert cpu.count <= 16


def test_a_fixed_range_does_not_grow_but_misses_still_double():
    cpu = Cpu("v6.7", high_min=64, high_max=64)
    brought = []
    for _ in range(4):
        before = zone_word(cpu.seg, "nr_free")
        cpu.get(1)
        brought.append(before - zone_word(cpu.seg, "nr_free"))
        cpu.get(cpu.count)
    assert brought == [4, 8, 16, 32]
    assert cpu.word("high") == 64
    assert cpu.seg[cpu.zone + ZONE.auto_high] == 1
