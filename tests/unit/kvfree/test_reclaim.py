"""After the grace period: objects freed once, pages to whom the epoch gives them; and its checkers fire."""

import pytest

from emu.kvfree import BNODE, KRC, kvfree_call_rcu
from emu.mm import LIVE, OBJECT_STATE, PG_BNODE, PG_CACHE, POISON, RCU_COOKIE, object_words
from emu.policy import STOCK, stock_of
from emu.rcu import gp_seq, seq_snap
from emu.shm import ABORT, F_EARLY_FREE, F_OBJECT_STATE, F_RECORD_RANGE, HEADER
from tests.crew import Crew

NOWAIT = "policy.sources=['cache', 'nowait']"


def batch_through(crew: Crew, cpu: int = 0) -> None:
    """Take what is queued through a batch and its grace period."""
    crew.monitor_now(cpu)
    crew.grace_period()
    crew.run_reclaim(cpu)


def test_objects_stay_alive_until_their_grace_period_is_over_and_are_poisoned_then():
    crew = Crew("run.epoch=E612", NOWAIT)
    objects = [crew.make(0), crew.make(0, "vmalloc")]
    for obj in objects:
        kvfree_call_rcu(crew.seg, 0, 0, obj)
    crew.monitor_now(0)
    assert [crew.seg[object_words(obj) + OBJECT_STATE] for obj in objects] == [LIVE, LIVE]
    crew.grace_period()
    assert [crew.seg[object_words(obj) + OBJECT_STATE] for obj in objects] == [LIVE, LIVE]
    crew.run_reclaim(0)
    assert [crew.seg[object_words(obj) + OBJECT_STATE] for obj in objects] == [POISON, POISON]
    assert crew.counter("kvfree_freed_bulk") == 2


def test_fillings_are_recorded_bnode_by_bnode():
    crew = Crew("run.epoch=E511", NOWAIT, "kvfree.bnode_records=4")
    crew.retire(0, 10)
    batch_through(crew)
    fill = crew.histogram("bnode_fill_records")
    assert (fill.count, fill.sum, fill.min, fill.max) == (3, 10, 2, 4)
    assert crew.histogram("bnode_age_ns").count == crew.counter("bnode_free") == 3
    assert crew.histogram("batch_work_ns").count == crew.counter("kfree_rcu_work") == 1


@pytest.mark.parametrize("epoch", ["E511", "E61", "E612"])
def test_an_emptied_page_goes_to_its_owner_s_cache(epoch):
    crew = Crew(f"run.epoch={epoch}", NOWAIT, "kvfree.bnode_records=2")
    crew.retire(1, 4)
    batch_through(crew, 1)
    assert [crew.seg[stock_of(crew.seg, cpu) + STOCK.nr_cached] for cpu in (0, 1)] == [0, 2]
    assert crew.counter("pgfree") == 0


@pytest.mark.parametrize(("bound", "cached", "freed"), [("true", 2, 0), ("false", 0, 2)])
def test_v5_9_gives_it_to_the_worker_s_cpu_which_an_unbound_worker_has_not(bound, cached, freed):
    crew = Crew("run.epoch=E59", "kvfree.boot_fill=false", f"kvfree.work_bound={bound}", "kvfree.bnode_records=2")
    crew.retire(1, 4)
    batch_through(crew, 1)
    assert crew.seg[stock_of(crew.seg, 1) + STOCK.nr_cached] == cached
    assert crew.counter("pgfree") == freed


def test_pages_beyond_the_cache_s_limit_go_to_the_allocator():
    crew = Crew("run.epoch=E612", NOWAIT, "kvfree.bnode_records=1", "kvfree.min_cached_objs=2")
    crew.retire(0, 5)
    batch_through(crew)
    pages = crew.pages()
    assert (pages[PG_CACHE], pages[PG_BNODE]) == (2, 0)
    assert crew.counter("pgfree") == 3
    crew.drain()
    assert crew.broken() == []


def test_a_flood_beyond_all_pages_goes_on_by_the_list_and_the_books_close():
    crew = Crew("run.epoch=E511", "policy.preset=S4", "policy.pool.pages_per_cpu=2", "kvfree.bnode_records=3")
    crew.retire(0, 20)
    assert (crew.counter("kvfree_bulk"), crew.counter("kvfree_fallback_list")) == (6, 14)
    batch_through(crew)
    assert (crew.counter("kvfree_freed_bulk"), crew.counter("kvfree_freed_list")) == (6, 14)
    crew.drain()
    assert crew.broken() == []


# --- the checkers see what they are for --------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["S8", "S19"])
def test_the_checker_sees_an_object_whose_own_cookie_has_not_elapsed(preset):
    crew = Crew("run.epoch=E511", f"policy.preset={preset}")
    obj = crew.make(0)
    kvfree_call_rcu(crew.seg, 0, 0, obj)
    crew.monitor_now(0)
    crew.grace_period()
    cookie = seq_snap(gp_seq(crew.seg))
    crew.seg[object_words(obj) + RCU_COOKIE] = cookie
    crew.run_reclaim(0)
    assert crew.fault == F_EARLY_FREE
    assert (crew.seg[HEADER.fault_a], crew.seg[HEADER.fault_b]) == (object_words(obj), cookie)
    assert crew.seg[HEADER.run_state] == ABORT


@pytest.mark.parametrize("records", [-1, 511, 1 << 40])
def test_the_checker_sees_a_bnode_that_claims_more_than_it_can_hold(records):
    crew = Crew("run.epoch=E511", NOWAIT)
    crew.retire(0, 2)
    crew.seg[crew.seg[crew.krc(0) + KRC.bulk_head] + BNODE.nr_records] = records
    batch_through(crew)
    assert (crew.fault, crew.seg[HEADER.fault_b], crew.seg[HEADER.fault_c]) == (F_RECORD_RANGE, records, 510)


@pytest.mark.parametrize("preset", ["S8", "S19"])
@pytest.mark.parametrize("kind", ["slab", "vmalloc"])
def test_the_checker_sees_an_object_that_is_retired_twice(preset, kind):
    crew = Crew("run.epoch=E511", f"policy.preset={preset}", "run.verify=false")
    obj = crew.make(0, kind)
    if preset == "S8":
        for _ in range(2):
            kvfree_call_rcu(crew.seg, 0, 0, obj)
        batch_through(crew)
    else:
        for cpu in (0, 1):  # twice on one list it would link to itself
            kvfree_call_rcu(crew.seg, cpu, cpu, obj)
            batch_through(crew, cpu)
    assert (crew.fault, crew.seg[HEADER.fault_a]) == (F_OBJECT_STATE, obj)


def test_the_checker_sees_a_lost_object():
    crew = Crew("run.epoch=E511", "policy.preset=S19")
    crew.retire(0, 3)
    krc = crew.krc(0)
    crew.seg[krc + KRC.head] = crew.seg[object_words(crew.seg[krc + KRC.head])]  # unlink the newest
    batch_through(crew)
    crew.flush_slabs()
    broken = crew.broken()
    assert any(row.startswith("kvfree_rcu_barrier left nothing queued: queued 1") for row in broken)
    assert any(row.startswith("objects in slabs = live objects: in slabs 1") for row in broken)
