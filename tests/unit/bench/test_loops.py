"""The one-core loops do the work they are timed for, and their bare twins leave the machine alone."""

import pytest

from emu.bench import memory, objects, primitives
from emu.bench.machine import MUTATOR_0, RECLAIM_0
from emu.kvfree import KRC, TO_ARRAY, all_reclaimed
from emu.mm import ZONE, count_free_blocks, pcp_count, pcp_of
from emu.policy import STOCK
from emu.rcu import RDP, rdp_of
from emu.stats import HIST, VM, counter, hist_count
from emu.sync import LOCK
from emu.trace import read_events


def counted(machine, item, me=MUTATOR_0):
    return counter(machine.seg, me, item)


def test_retire_puts_every_object_into_an_array(machine, items):
    objects.prepare_retire(machine)
    before = counted(machine, VM.kvfree_bulk)
    assert objects.bench_retire(machine.seg, items) == items * TO_ARRAY
    assert counted(machine, VM.kvfree_bulk) - before == items
    assert counted(machine, VM.kvfree_fallback_list) == 0
    assert counted(machine, VM.bnode_alloc) == 1  # one page, opened before


def test_append_stores_every_pointer_under_the_lock(machine, items):
    objects.prepare_retire(machine)
    krc = machine.plan.krc(0)
    acquired, bulk = machine.seg[krc + LOCK.acquired], machine.seg[krc + KRC.bulk_count]
    assert objects.bench_append(machine.seg, items) == items
    assert machine.seg[krc + LOCK.acquired] - acquired == items
    assert machine.seg[krc + KRC.bulk_count] - bulk == items
    assert machine.seg[krc] == 0


def test_steady_frees_all_that_it_makes_and_keeps_its_pages(machine, items):
    objects.prepare_steady(machine)
    seg, stock = machine.seg, machine.plan.stock(0)
    made, freed, held = counted(machine, VM.kmalloc), counted(machine, VM.kvfree_freed_bulk, RECLAIM_0), seg[
        stock + STOCK.held]
    assert objects.bench_steady(seg, items) == items
    assert counted(machine, VM.kmalloc) - made == items
    assert counted(machine, VM.kvfree_freed_bulk, RECLAIM_0) - freed == items
    assert counted(machine, VM.kvfree_fallback_list) == 0
    assert all_reclaimed(seg, 0, 1) == 1
    assert seg[stock + STOCK.held] == held


def test_pcp_leaves_as_many_pages_as_it_found(machine, items):
    memory.prepare_pcp(machine)
    pcp = pcp_of(machine.seg, 0, 0)
    assert memory.bench_pcp(machine.seg, items) > 0
    assert pcp_count(machine.seg, pcp) == memory.FILL


@pytest.mark.parametrize("pages", [1, 63, 64, 511, 512, 513])
def test_zone_gives_every_page_back(machine, pages):
    zone = machine.plan.offsets["zones"]
    free = machine.seg[zone + ZONE.nr_free]
    assert memory.bench_zone(machine.seg, pages) == pages
    assert machine.seg[zone + ZONE.nr_free] == free == count_free_blocks(machine.seg)


def test_primitives_do_what_is_counted(machine, items):
    seg = machine.seg
    assert primitives.locked_rmw(seg, items) == items
    assert primitives.bench_lock(seg, items) == 0
    assert primitives.bench_counter(seg, items) == items == counted(machine, VM.kvfree_calls)
    assert primitives.bench_histogram(seg, items) == items == hist_count(seg, MUTATOR_0, HIST.kvfree_call_ns)
    assert primitives.bench_reader(seg, items) == items
    assert seg[rdp_of(seg, 0) + RDP.nesting] == 0
    first = primitives.bench_clock(seg, 1)
    assert primitives.bench_clock(seg, items) >= first > 0
    assert primitives.bench_trace(seg, items) == items
    events, lost = read_events(seg, MUTATOR_0)
    assert len(events) + lost == items


@pytest.mark.parametrize("bare", [
    objects.bare_retire, objects.bare_append, objects.bare_steady, memory.bare_pcp, memory.bare_zone,
    primitives.bare_lock, primitives.bare_counter, primitives.bare_histogram, primitives.bare_trace,
    primitives.bare_reader, primitives.bare_monotonic, primitives.bare_cycles,
])
def test_bare_twins_touch_nothing_but_their_own_words(machine, items, bare):
    scratch = machine.plan.offsets["scratch"]
    own = range(scratch, machine.plan.offsets["counters"])
    before = machine.seg.words[: own.start].tolist(), machine.seg.words[own.stop :].tolist()
    bare(machine.seg, items)
    assert (machine.seg.words[: own.start].tolist(), machine.seg.words[own.stop :].tolist()) == before
