"""RCU-protected objects: replaced in turn, looked at by readers, and a reader sees what is dead."""

import pytest

from emu.mm import LIVE, OBJECT_STATE, VMALLOC_START, object_words, poison_object
from emu.rcu import RDP, rdp_of
from emu.shm import F_READER_POISON, HEADER
from emu.workload import LOAD, load_of
from emu.workload.objects import fill_slots, new_object, pick_size, read_object, replace_object
from tests.crew import Crew


def slots(crew: Crew, cpu: int = 0) -> list[int]:
    load = load_of(crew.seg, cpu)
    at = crew.seg[load + LOAD.slots]
    return [crew.seg[at + i] for i in range(crew.seg[load + LOAD.live])]


def filled(*overrides) -> Crew:
    crew = Crew(*overrides)
    for cpu in range(crew.plan.cpus):
        fill_slots(crew.seg, cpu, cpu, load_of(crew.seg, cpu))
    return crew


def test_every_slot_of_every_cpu_has_a_live_object_of_its_own():
    crew = filled()
    everything = slots(crew, 0) + slots(crew, 1)
    assert len(set(everything)) == 16 and 0 not in everything
    assert {crew.seg[object_words(obj) + OBJECT_STATE] for obj in everything} == {LIVE}


def test_slots_are_replaced_in_turn_and_the_old_object_is_handed_out():
    crew = filled()
    load, before = load_of(crew.seg, 0), slots(crew)
    fresh = [new_object(crew.seg, 0, 0, load) for _ in range(8)]
    assert [replace_object(crew.seg, load, obj) for obj in fresh] == before
    assert slots(crew) == fresh
    assert replace_object(crew.seg, load, 0) == fresh[0]


def test_sizes_are_drawn_by_their_weights():
    crew = Crew("slab.object_bytes=[32, 64, 128]", "slab.weights=[6, 3, 1]")
    load = load_of(crew.seg, 0)
    drawn = [pick_size(crew.seg, load) for _ in range(2000)]
    assert [drawn.count(index) / 2000 for index in range(3)] == pytest.approx([0.6, 0.3, 0.1], abs=0.06)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_so_many_objects_are_vmalloc_s_as_the_share_says(share):
    crew = Crew(f"workload.vmalloc_share={share}")
    load = load_of(crew.seg, 0)
    made = [new_object(crew.seg, 0, 0, load) for _ in range(300)]
    assert sum(obj >= VMALLOC_START for obj in made) / 300 == pytest.approx(share, abs=0.14 if 0 < share < 1 else 0)
    assert crew.counter("vmalloc_alloc") + crew.counter("kmalloc") == 300


def test_an_allocation_that_fails_is_counted_and_leaves_the_slot_empty():
    crew = filled()
    crew.leave_free(0)
    load = load_of(crew.seg, 0)
    made = [new_object(crew.seg, 0, 0, load) for _ in range(1000)]
    assert made[-1] == 0
    assert crew.counter("oom_object") == made.count(0)
    replace_object(crew.seg, load, 0)
    assert 0 in slots(crew)
    for _ in range(50):
        read_object(crew.seg, 0, 0, load)
    assert crew.fault == 0


def test_a_reader_leaves_its_section_and_is_counted():
    crew = filled("readers.length_us=0")
    for _ in range(20):
        read_object(crew.seg, 0, 0, load_of(crew.seg, 0))
    assert crew.counter("reader_sections") == 20
    assert crew.seg[rdp_of(crew.seg, 0) + RDP.nesting] == 0
    assert crew.fault == 0


# --- the checker sees what it is for -----------------------------------------------------------------------


@pytest.mark.parametrize("cross_cpu", ["true", "false"])
def test_readers_look_into_other_cpus_slots_where_the_scenario_says_so(cross_cpu):
    crew = filled(f"readers.cross_cpu={cross_cpu}")
    for obj in slots(crew, 1):
        poison_object(crew.seg, obj, 4)
    for _ in range(100):
        read_object(crew.seg, 0, 0, load_of(crew.seg, 0))
    assert crew.fault == (F_READER_POISON if cross_cpu == "true" else 0)


def test_a_reader_sees_a_freed_object_and_names_it():
    crew = filled("readers.cross_cpu=false")
    for obj in slots(crew):
        poison_object(crew.seg, obj, 4)
    read_object(crew.seg, 0, 0, load_of(crew.seg, 0))
    assert crew.fault == F_READER_POISON
    assert crew.seg[HEADER.fault_a] in slots(crew)
    assert crew.seg[HEADER.fault_c] == 0
    assert crew.seg[rdp_of(crew.seg, 0) + RDP.nesting] == 0
