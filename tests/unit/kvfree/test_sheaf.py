"""Sheaves: full ones wait for one grace period, come back through the barn as allocations, and the books close."""

import pytest

from emu.kvfree import (
    BARN,
    PCS,
    SHEAF_Q,
    barn_of,
    flush_rcu_sheaves,
    kfree_rcu_sheaf,
    objects_in_sheaves,
    pcs_of,
    sheaf_alloc,
    sheaves_busy,
)
from emu.kvfree.barn import MAX_FULL_SHEAVES, S_SIZE
from emu.kvfree.sheaf import queue_of
from emu.mm import LIVE, OBJECT_STATE, POISON, RCU_COOKIE
from emu.rcu import rcu_eqs_exit, rcu_read_lock
from emu.shm import F_EARLY_FREE, F_OBJECT_STATE
from emu.workload import FINISHED, mutator_begin, mutator_finish, mutator_prepare, mutator_step
from tests.crew import Crew

CAPACITY = 4


def crew_of(*overrides: str) -> Crew:
    return Crew("run.epoch=E618", f"slab.sheaf_capacity={CAPACITY}", *overrides)


def pcs_word(crew: Crew, name: str, cpu: int = 0) -> int:
    return crew.seg[pcs_of(crew.seg, cpu, 0) + getattr(PCS, name)]


def barn_word(crew: Crew, name: str) -> int:
    return crew.seg[barn_of(crew.seg, 0, 0) + getattr(BARN, name)]


def free(crew: Crew, objects: int) -> list[int]:
    """Retire so many new objects of CPU 0 into sheaves."""
    made = [crew.make(0) for _ in range(objects)]
    assert all(kfree_rcu_sheaf(crew.seg, 0, 0, obj) for obj in made)
    return made


def finish(crew: Crew) -> list[str]:
    """The end of a run; what does not hold then."""
    assert flush_rcu_sheaves(crew.seg, 0, 0) == 0
    crew.drain()
    return [text for text in crew.broken() if not text.startswith(("allocated =", "objects in slabs"))]


def test_a_sheaf_is_handed_over_when_it_is_full_and_not_before():
    crew = crew_of()
    free(crew, CAPACITY - 1)
    assert crew.seg[pcs_word(crew, "rcu_free") + S_SIZE] == CAPACITY - 1
    assert crew.seg[queue_of(crew.seg, 0) + SHEAF_Q.due] == 0
    free(crew, 1)
    assert pcs_word(crew, "rcu_free") == 0
    assert crew.seg[queue_of(crew.seg, 0) + SHEAF_Q.due] != 0
    assert objects_in_sheaves(crew.seg, 0) == crew.counter("free_rcu_sheaf") == CAPACITY


def test_no_object_of_a_sheaf_is_freed_before_its_grace_period():
    crew = crew_of()
    rcu_eqs_exit(crew.seg, 1)
    rcu_read_lock(crew.seg, 1)
    made = free(crew, CAPACITY)
    for _ in range(20):
        crew.advance(crew.jiffy)
        crew.coordinate()
        crew.run_reclaim(0)
    assert all(crew.seg[obj + OBJECT_STATE] == LIVE for obj in made)
    assert crew.counter("kvfree_freed_sheaf") == 0


def test_a_sheaf_with_a_young_object_is_caught():
    crew = crew_of()
    made = free(crew, CAPACITY)
    crew.seg[made[1] + RCU_COOKIE] += 4  # it came one grace period later
    crew.grace_period()
    crew.advance(2 * crew.jiffy)
    crew.run_reclaim(0)
    assert crew.fault == F_EARLY_FREE


def full_barn_crew(sheaves: int = 1) -> tuple[Crew, list[int]]:
    """Sheaves whose grace period is over, and their objects."""
    crew = crew_of()
    made = free(crew, CAPACITY * sheaves)
    crew.grace_period()
    crew.advance(2 * crew.jiffy)
    crew.run_reclaim(0)
    return crew, made


def test_after_the_grace_period_the_sheaf_is_in_the_barn_and_its_objects_are_dead():
    crew, made = full_barn_crew()
    assert (barn_word(crew, "nr_full"), crew.counter("barn_put")) == (1, 1)
    assert all(crew.seg[obj + OBJECT_STATE] == POISON for obj in made)
    assert crew.counter("kvfree_freed_sheaf") == CAPACITY
    assert objects_in_sheaves(crew.seg, 0) == 0


def test_an_allocation_takes_the_objects_out_of_the_barns_sheaf_last_in_first_out():
    crew, made = full_barn_crew()
    taken = [sheaf_alloc(crew.seg, 0, 0, 0) for _ in range(CAPACITY)]
    assert taken == made[::-1]
    assert all(crew.seg[obj + OBJECT_STATE] == LIVE for obj in taken)
    assert (barn_word(crew, "nr_full"), crew.counter("barn_get"), crew.counter("alloc_cpu_sheaf")) == (0, 1, CAPACITY)
    assert sheaf_alloc(crew.seg, 0, 0, 0) == 0  # nothing left: the slab has to be asked
    assert crew.fault == 0


def test_a_write_into_a_dead_object_of_a_sheaf_is_caught_when_it_is_handed_out():
    crew, made = full_barn_crew()
    crew.seg[made[-1] + OBJECT_STATE] = LIVE
    sheaf_alloc(crew.seg, 0, 0, 0)
    assert crew.fault == F_OBJECT_STATE


def test_a_barn_with_enough_full_sheaves_sends_the_objects_home():
    crew, made = full_barn_crew(MAX_FULL_SHEAVES + 2)
    assert barn_word(crew, "nr_full") == MAX_FULL_SHEAVES
    assert crew.counter("sheaf_flush") == 2 * CAPACITY
    assert barn_word(crew, "nr_empty") == 2
    assert crew.counter("kvfree_freed_sheaf") == len(made)


def test_an_emptied_main_becomes_the_spare_and_the_next_rcu_free():
    crew, _ = full_barn_crew(2)
    for _ in range(CAPACITY + 1):
        assert sheaf_alloc(crew.seg, 0, 0, 0)
    spare = pcs_word(crew, "spare")
    assert spare != 0 and crew.seg[spare + S_SIZE] == 0
    alloc = crew.counter("sheaf_alloc")
    free(crew, 1)
    assert (pcs_word(crew, "rcu_free"), pcs_word(crew, "spare")) == (spare, 0)
    assert crew.counter("sheaf_alloc") == alloc


@pytest.mark.parametrize("kind", ["vmalloc", "other size"])
def test_what_is_not_for_sheaves_takes_the_old_path_uncounted(kind):
    crew = crew_of("slab.object_bytes=[64, 32]", "slab.weights=[1, 1]", "slab.sheaf_sizes=[32]")
    obj = crew.make(0, "vmalloc" if kind == "vmalloc" else "slab")
    assert kfree_rcu_sheaf(crew.seg, 0, 0, obj) == 0
    assert crew.counter("free_rcu_sheaf_fail") == 0


def test_a_call_from_within_finds_the_sheaves_locked():
    crew = crew_of()
    sheaves_busy(crew.seg, 0, 1)
    assert kfree_rcu_sheaf(crew.seg, 0, 0, crew.make(0)) == 0
    assert crew.counter("free_rcu_sheaf_fail") == 1
    sheaves_busy(crew.seg, 0, 0)
    assert kfree_rcu_sheaf(crew.seg, 0, 0, crew.make(0)) == 1


def test_without_memory_for_a_sheaf_the_old_path_serves():
    crew = crew_of()
    obj = crew.make(0)
    crew.leave_free(0)
    crew.seg[crew.plan.pcp(0)] = 0  # its lists: nothing there either
    assert kfree_rcu_sheaf(crew.seg, 0, 0, obj) == 0
    assert crew.counter("free_rcu_sheaf_fail") == 1


def test_the_barrier_flushes_partial_sheaves_and_waits_for_them():
    crew = crew_of()
    free(crew, CAPACITY + 1)
    assert finish(crew) == []
    assert crew.counter("kvfree_freed_sheaf") == CAPACITY + 1
    assert crew.counter("sheaf_flush") == 1


@pytest.mark.parametrize("overrides", [
    (), ("policy.preset=S22", "run.epoch=E612"),
    ("workload.contexts.task=0.5", "workload.contexts.in_allocator=0.3", "workload.contexts.hardirq=0.2"),
    ("workload.one_arg_share=0.3", "workload.vmalloc_share=0.2"),
])
def test_a_whole_load_closes_its_books(overrides):
    crew = crew_of("memory.managed_pages=4096", "workload.max_calls=700", *overrides)
    for cpu in range(2):
        mutator_prepare(crew.seg, cpu, cpu)
        mutator_begin(crew.seg, cpu, cpu)
    finished = set()
    for _ in range(2000):
        for cpu in {0, 1} - finished:
            if mutator_step(crew.seg, cpu, cpu) == FINISHED:
                mutator_finish(crew.seg, cpu, cpu)
                finished.add(cpu)
        crew.advance(crew.jiffy)
        crew.coordinate()
        crew.run_reclaim(0)
        if len(finished) == 2:
            break
    crew.drain()
    assert crew.broken() == []
    assert crew.counter("free_rcu_sheaf") > 0 and crew.counter("alloc_cpu_sheaf") > 0


def test_an_object_lost_from_a_sheaf_breaks_the_books():
    crew = crew_of("memory.managed_pages=4096")
    free(crew, CAPACITY - 1)
    crew.seg[pcs_word(crew, "rcu_free") + S_SIZE] -= 1
    flush_rcu_sheaves(crew.seg, 0, 0)
    with pytest.raises(AssertionError, match="something stays queued"):
        crew.drain()
    assert any(text.startswith("kvfree_rcu_barrier") for text in crew.broken())


def test_rt_kernels_have_no_sheaves():
    crew = Crew("run.epoch=E618", "run.preemption=rt")
    assert crew.plan.resolved.slab.sheaf_capacity == 0
