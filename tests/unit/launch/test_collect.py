"""What is read from a finished segment, and every invariant with a sabotage that makes it, and it alone, fail."""

import pytest

from emu.kvfree import KRC
from emu.launch.collect import (
    check_invariants,
    collect_run,
    fault_text,
    owner_name,
    process_row,
)
from emu.mm import (
    MIGRATE_PCPTYPES,
    PAGE,
    PCP,
    PG_BNODE,
    PG_CACHE,
    PG_PCP,
    PG_STATIC,
    PG_TAKEN,
    ZONE,
    page_links,
    page_of,
)
from emu.policy import POOL
from emu.rcu import RCU
from emu.results import blank_record, pack_result
from emu.ring import stack_pop
from emu.shm import FAULT_CODES, FAULTS, HEADER, PROC
from emu.stats import HIST, VM, VM_WORDS, hist_record
from emu.sync import LOCK
from emu.workload import LOAD, RCUSCALE, mutator_prepare
from tests.crew import Crew

OWNER_SHIFT = 32


def finished(*overrides):
    """A machine that has worked and has drained: arrays, lists, vmalloc, refills, grace periods, live objects."""
    crew = Crew("run.epoch=E61", "memory.pcp_batch=16", "memory.pcp_high=96", *overrides)
    for cpu in range(crew.plan.cpus):
        mutator_prepare(crew.seg, cpu, cpu)
    crew.retire(0, 3)
    crew.run_refill(0)
    crew.retire(0, 520)
    crew.retire(1, 2, kind="vmalloc")
    crew.drain()
    return crew


def books(crew, complete=True):
    """The record's measured parts."""
    record = blank_record()
    collect_run(crew.seg, crew.plan, record, complete)
    return record


def broken(crew, complete=True):
    """Names of the invariants that do not hold."""
    return [row["name"] for row in books(crew, complete)["invariants"] if not row["ok"]]


def add(crew, counter, by=1, process=0):
    crew.seg[crew.plan.offsets["counters"] + process * VM_WORDS + counter] += by


def page_in_state(crew, state):
    """Word of the first page record in this state."""
    first = crew.plan.first_pfn
    for pfn in range(first, first + crew.plan.resolved.memory.managed_pages):
        page = page_of(crew.seg, pfn)
        if crew.seg[page] & 0xFF == state:
            return page
    raise AssertionError("no such page")


def turn_page(crew, into):
    """A page that has left the per-CPU lists says that it is something else."""
    crew.seg[page_of(crew.seg, take_listed(crew))] = into


def take_listed(crew):
    """A page off one of the per-CPU lists; its state stays as it was."""
    for cpu in range(crew.plan.cpus):
        for kind in range(MIGRATE_PCPTYPES):
            pfn = stack_pop(crew.seg, crew.plan.pcp(cpu) + PCP.lists + kind, page_links(crew.seg), PAGE.SIZE)
            if pfn >= 0:
                return pfn
    raise AssertionError("no page on any list")


def count_calls_twice(crew):
    add(crew, VM.kvfree_calls)
    add(crew, VM.kvfree_bulk)


def leave_one_queued(crew):
    crew.seg[crew.plan.krc(0) + KRC.freed] -= 1
    add(crew, VM.kvfree_freed_bulk, -1)


def lose_a_slot(crew):
    crew.seg[crew.seg[crew.plan.load(0) + LOAD.slots]] = 0
    add(crew, VM.kmalloc, -1)


def fill_caches_beyond_their_limit(crew):
    for _ in range(crew.plan.resolved.kvfree.min_cached_objs * crew.plan.cpus + 1):
        turn_page(crew, PG_CACHE)


def set_word(region, word, value, by=False):
    def sabotage(crew):
        crew.seg[crew.plan.offsets[region] + word] = value + (crew.seg[crew.plan.offsets[region] + word] if by else 0)
    return sabotage


SABOTAGE = {
    "no fault while it ran": lambda crew: crew.seg.__setitem__(HEADER.fault, FAULT_CODES["watermark"]),
    "every page is somewhere, once": lambda crew: turn_page(crew, 0),
    "calls = array + list + synchronous": lambda crew: add(crew, VM.kvfree_fallback_list),
    "retired = freed + queued": count_calls_twice,
    "kvfree_rcu_barrier left nothing queued": leave_one_queued,
    "allocated = live + freed + queued": lambda crew: add(crew, VM.kmalloc),
    "objects in slabs = live objects": lose_a_slot,
    "NR_FREE_PAGES = pages on the free lists": set_word("zones", ZONE.nr_free, 1, by=True),
    "per-CPU lists hold the pages that say so": take_listed,
    "NR_FREE_HIGHATOMIC = pages on its free lists": set_word("zones", ZONE.nr_free_highatomic, 1),
    "bnode pages all came back": lambda crew: turn_page(crew, PG_BNODE),
    "every reserve is whole": lambda crew: turn_page(crew, PG_STATIC),
    "no pool holds what is not its own": set_word("pools", POOL.nr, 1),
    "cached pages within their limit": fill_caches_beyond_their_limit,
    "batches in flight within their limit": set_word("krc", KRC.in_flight_peak, 3),
    "grace periods ended = started": lambda crew: add(crew, VM.rcu_gp_start),
    "no page in anybody's hands": lambda crew: turn_page(crew, PG_TAKEN),
    "histogram counts = event counters": lambda crew: add(crew, VM.krc_refill_run),
    "refill phases add up to the whole": lambda crew: hist_record(crew.seg, 0, HIST.refill_hit_ns, 5),
}


def test_finished_machine_holds_every_invariant_and_its_record_fits_the_schema():
    crew = finished()
    record = books(crew)
    assert [row for row in record["invariants"] if not row["ok"]] == []
    assert len(pack_result(record)) > 1000
    ledger = record["ledger"]
    assert ledger["lost"] == 0 and ledger["orphans"] == []
    assert ledger["objects"] == {"allocated": 525 + 16, "live": 16, "queued": 0, "freed": 525}
    assert ledger["buddy"] + ledger["pcp"] + ledger["cache"] + ledger["slab"] == ledger["managed"] == 2048
    assert record["histograms"]["pages_per_refill"]["per_process"]["page_refill/0"]["total"] == 1


def test_every_invariant_has_a_sabotage_here():
    assert [row["name"] for row in books(finished())["invariants"]] == list(SABOTAGE)


@pytest.mark.parametrize("name", SABOTAGE)
def test_sabotage_breaks_its_invariant_and_no_other(name):
    crew = finished()
    SABOTAGE[name](crew)
    assert broken(crew) == [name]


def test_grace_period_left_running_breaks_its_invariant():
    crew = finished()
    crew.seg[crew.plan.offsets["rcu"] + RCU.gp_seq] += 1
    assert broken(crew) == ["grace periods ended = started"]


def test_more_slab_objects_than_live_ones_are_found():
    crew = finished()
    crew.make(0)
    add(crew, VM.kmalloc, -1)
    assert broken(crew) == ["objects in slabs = live objects"]


def test_incomplete_run_is_held_to_fault_and_pages_only():
    crew = finished()
    for name in SABOTAGE:
        if name not in ("no fault while it ran", "every page is somewhere, once"):
            SABOTAGE[name](crew)
    assert broken(crew, complete=False) == []
    assert len(books(crew, complete=False)["invariants"]) == 2
    turn_page(crew, 0)
    assert broken(crew, complete=False) == ["every page is somewhere, once"]


def test_page_in_dead_hands_is_listed_with_its_owner():
    crew = finished()
    owner = crew.machine.index("reclaim/1")
    page = page_in_state(crew, PG_PCP)
    crew.seg[page] = PG_TAKEN | owner << OWNER_SHIFT
    ledger = books(crew, complete=False)["ledger"]
    assert [(row["state"], row["owner"]) for row in ledger["orphans"]] == [("taken", "reclaim/1")]
    assert page_of(crew.seg, ledger["orphans"][0]["pfn"]) == page
    assert ledger["other"] == 1 and ledger["lost"] == 0


def test_orphans_beyond_the_limit_are_counted_but_not_listed(monkeypatch):
    monkeypatch.setattr("emu.launch.collect.ORPHANS_SHOWN", 2)
    crew = finished()
    for _ in range(3):
        turn_page(crew, PG_TAKEN)
    ledger = books(crew, complete=False)["ledger"]
    assert len({row["pfn"] for row in ledger["orphans"]}) == 2
    assert ledger["other"] == 3


def test_unknown_owner_is_named_by_number():
    crew = Crew()
    assert owner_name(crew.plan, 0) == "mutator/0"
    assert owner_name(crew.plan, 99) == "process 99"


@pytest.mark.parametrize("name", FAULT_CODES)
def test_every_fault_is_worded_with_process_time_and_figures(name):
    crew = Crew()
    seg = crew.seg
    seg[HEADER.fault_a], seg[HEADER.fault_b], seg[HEADER.fault_c] = 11, 12, 13
    seg[HEADER.fault_proc] = crew.coordinator
    seg[HEADER.fault_time] = seg[HEADER.t_zero] + 1_250_000_000
    assert fault_text(seg, crew.plan) == ""
    seg[HEADER.fault] = FAULT_CODES[name]
    text = fault_text(seg, crew.plan)
    assert text.startswith(f"{name} in coordinator at 1.250 s: ")
    assert "{" not in text
    for letter, value in (("a", "11"), ("b", "12"), ("c", "13")):
        if f"{{{letter}" in FAULTS[FAULT_CODES[name]][1]:
            assert value in text


def test_page_states_of_a_fault_are_named():
    crew = Crew()
    crew.seg[HEADER.fault_a], crew.seg[HEADER.fault_b], crew.seg[HEADER.fault_c] = 4711, PG_PCP, PG_TAKEN
    crew.seg[HEADER.fault] = FAULT_CODES["page_state"]
    assert "pfn 4711 is pcp, expected taken" in fault_text(crew.seg, crew.plan)


def test_unknown_fault_code_does_not_hide():
    crew = Crew()
    crew.seg[HEADER.fault] = 999
    assert fault_text(crew.seg, crew.plan).startswith("unknown in mutator/0")


def test_cpu_rows_tell_calls_misses_and_what_is_queued():
    crew = Crew("run.epoch=E61")
    crew.retire(0, 3)
    rows = books(crew, complete=False)["cpus"]
    assert (rows[0]["calls"], rows[0]["fallback_list"], rows[0]["misses"], rows[0]["open_window"]) == (3, 3, 3, True)
    assert (rows[0]["enqueued"], rows[0]["freed"], rows[0]["queued_at_end"]) == (3, 0, 3)
    assert (rows[1]["calls"], rows[1]["open_window"]) == (0, False)


def test_locks_are_summed_by_kind():
    crew = Crew()
    before = {row["name"]: row for row in books(crew, complete=False)["locks"]}
    for cpu, hold in ((0, 70), (1, 50)):
        crew.seg[crew.plan.krc(cpu) + KRC.lock + LOCK.acquired] += 10
        crew.seg[crew.plan.krc(cpu) + KRC.lock + LOCK.hold_max_ns] = hold
    after = {row["name"]: row for row in books(crew, complete=False)["locks"]}
    assert list(after) == ["zone->lock", "pcp->lock", "krc->lock", "list_lock", "mempool->lock", "reserve->lock"]
    assert after["krc->lock"]["acquired"] == before["krc->lock"]["acquired"] + 20
    assert after["krc->lock"]["hold_max_ns"] == 70


def test_rcuscale_figures_appear_only_once_every_thread_has_finished():
    crew = Crew("workload.kind=rcuscale")
    assert books(crew, complete=False)["rcuscale"] is None
    for cpu, finish in ((0, 900), (1, 1000)):
        load = crew.plan.load(cpu)
        assert crew.seg[load + LOAD.kind] == RCUSCALE
        crew.seg[load + LOAD.t_start], crew.seg[load + LOAD.t_finish] = 100 + cpu, finish
        crew.seg[load + LOAD.gp_begin], crew.seg[load + LOAD.gp_finish] = 0, 40 + 4 * cpu
        crew.seg[load + LOAD.mem_begin], crew.seg[load + LOAD.mem_during] = 1000, 744
        crew.seg[load + LOAD.done] = int(cpu == 0)
    assert books(crew, complete=False)["rcuscale"] is None
    crew.seg[crew.plan.load(1) + LOAD.done] = 1
    figures = books(crew, complete=False)["rcuscale"]
    assert figures == {"total_ns": 900, "loops": 10, "batches": 11, "footprint_mb": 1.0, "threads": 2}


def test_noise_is_unknown_until_it_was_measured():
    crew = Crew()
    role = crew.plan.roles[0]
    assert process_row(crew.seg, crew.plan, role) == {"noise_max_ns": None, "noise_share": None}
    proc = crew.plan.proc(0)
    crew.seg[proc + PROC.noise_span], crew.seg[proc + PROC.noise_sum], crew.seg[proc + PROC.noise_max] = 1000, 10, 7
    assert process_row(crew.seg, crew.plan, role) == {"noise_max_ns": 7, "noise_share": 0.01}


def test_invariants_word_what_they_saw():
    crew = finished()
    leave_one_queued(crew)
    record = books(crew)
    sums = {name: sum(row[i] for row in record["counters"]["per_process"].values())
            for i, name in enumerate(record["counters"]["names"])}
    rows = {row["name"]: row["detail"] for row in check_invariants(crew.seg, crew.plan, record, sums, True)}
    assert rows["kvfree_rcu_barrier left nothing queued"] == "queued 1"
    assert rows["every page is somewhere, once"] == "managed 2048, found 2048"
