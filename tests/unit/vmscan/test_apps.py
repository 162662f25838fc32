"""Applications: their first pages, touches, faults and refaults."""

from emu.shm import HEADER, now_ns
from emu.vmscan import EVICTED, MM, PSI_RUNNING, VMSCAN, app_begin, app_prepare, app_step, mm_of, vmscan_of
from emu.vmscan.apps import fault_in, touch
from emu.vmscan.oom import kind_of_slot
from emu.vmscan.psi import psi_change
from emu.vmscan.shrink import shrink_inactive_list
from tests.unit.vmscan.pressed import HOUSEKEEPING, broken, counters, pressed, rss


def test_an_application_begins_with_its_resident_share():
    machine = pressed("apps.resident_share=0.5")
    assert [rss(machine, app) for app in range(2)] == [350, 350]
    assert broken(machine) == []


def test_where_memory_ends_it_begins_with_less_and_nobody_waits():
    machine = pressed("apps.pages=680", "apps.count=3", filled=False)
    for app in range(3):
        app_prepare(machine.seg, machine.index(f"app/{app}"), HOUSEKEEPING)
    assert 1800 < sum(rss(machine, app) for app in range(3)) < 2040
    assert counters(machine)["allocstall_normal"] == 0 and broken(machine) == []


def test_slots_are_file_then_anonymous_then_dirty():
    machine = pressed("apps.file_share=0.5", "apps.anon_share=0.25", "apps.dirty_share=0.25", filled=False)
    mm = mm_of(machine.seg, 0)
    assert [kind_of_slot(machine.seg, mm, i) for i in (0, 349, 350, 524, 525, 699)] == [0, 0, 1, 1, 2, 2]


def test_touches_that_are_due_are_made_and_later_ones_are_not():
    machine = pressed("apps.touches_per_s=1000")
    me, mm = machine.index("app/0"), mm_of(machine.seg, 0)
    machine.seg[HEADER.t_zero] = now_ns(machine.seg) - 10_000_000
    app_begin(machine.seg, me)
    wake = app_step(machine.seg, me, HOUSEKEEPING)
    assert machine.seg[mm + MM.touches] >= 10
    assert wake >= machine.seg[HEADER.t_zero] + 11_000_000


def test_a_first_touch_is_a_fault_and_no_refault():
    machine = pressed("apps.resident_share=0", filled=False)
    me, mm = machine.index("app/0"), mm_of(machine.seg, 0)
    touch(machine.seg, me, HOUSEKEEPING, mm, 5)
    assert rss(machine, 0) == 1 and counters(machine)["pgfault"] == 1 and counters(machine)["pgmajfault"] == 0
    touch(machine.seg, me, HOUSEKEEPING, mm, 5)
    assert counters(machine)["pgfault"] == 1


def test_a_touch_of_a_reclaimed_page_brings_it_back_and_counts_a_refault():
    machine = pressed()
    seg, me, mm = machine.seg, machine.index("app/0"), mm_of(machine.seg, 0)
    for kind in (0, 1):
        for slot in range(seg[mm + MM.slots], seg[mm + MM.slots] + 700):
            if seg[slot] > EVICTED:
                seg[slot] &= ~1
        assert shrink_inactive_list(seg, machine.index("kswapd/0"), HOUSEKEEPING, 0, kind, 32, 1) == 32
    gone = [i for i in range(700) if seg[seg[mm + MM.slots] + i] == EVICTED]
    assert len(gone) == 64 and seg[mm + MM.swap] == 32
    psi_change(seg, me, PSI_RUNNING)
    for index in gone:
        assert fault_in(seg, me, HOUSEKEEPING, mm, index, EVICTED) == 1
    assert counters(machine)["workingset_refault_file"] == counters(machine)["workingset_refault_anon"] == 32
    assert seg[vmscan_of(seg) + VMSCAN.zram_stored] == 0 == seg[mm + MM.swap]
    assert rss(machine, 0) == 700 and broken(machine) == []
