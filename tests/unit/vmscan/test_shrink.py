"""What a pass over a node takes, keeps and pays."""

from emu.stats import VM, counter
from emu.vmscan import EVICTED, LRU_ANON, LRU_DIRTY, LRU_FILE, MM, VMSCAN, mm_of, vmscan_of
from emu.vmscan.lru import ACTIVE, INACTIVE, lru_size
from emu.vmscan.shrink import burn, scan_count, shrink_active_list, shrink_inactive_list, shrink_node
from emu.vmscan.state import TASK, task_of
from tests.unit.vmscan.pressed import HOUSEKEEPING, broken, counters, pressed, rss, states


def clear_accessed(machine):
    """Nobody has touched anything lately."""
    for app in range(2):
        mm = mm_of(machine.seg, app)
        for slot in range(machine.seg[mm + MM.slots], machine.seg[mm + MM.slots] + machine.seg[mm + MM.pages]):
            machine.seg[slot] &= ~1


def test_a_page_in_use_is_activated_and_one_that_is_not_is_freed():
    machine = pressed()
    me = machine.index("kswapd/0")
    assert shrink_inactive_list(machine.seg, me, HOUSEKEEPING, 0, LRU_FILE, 32, 1) == 0
    assert lru_size(machine.seg, 0, LRU_FILE, ACTIVE) == 32
    clear_accessed(machine)
    assert shrink_inactive_list(machine.seg, me, HOUSEKEEPING, 0, LRU_FILE, 32, 1) == 32
    assert counters(machine)["pgscan_kswapd"] == 64 and counters(machine)["pgsteal_kswapd"] == 32
    assert rss(machine, 0) + rss(machine, 1) == 1400 - 32 and broken(machine) == []


def test_a_reclaimed_slot_says_so():
    machine = pressed()
    clear_accessed(machine)
    shrink_inactive_list(machine.seg, machine.index("kswapd/0"), HOUSEKEEPING, 0, LRU_FILE, 32, 1)
    mm = mm_of(machine.seg, 0)
    slots = range(machine.seg[mm + MM.slots], machine.seg[mm + MM.slots] + 700)
    assert [machine.seg[slot] for slot in slots].count(EVICTED) == 32


def test_anonymous_pages_go_to_zram_three_to_a_page():
    machine = pressed()
    clear_accessed(machine)
    assert shrink_inactive_list(machine.seg, machine.index("kswapd/0"), HOUSEKEEPING, 0, LRU_ANON, 32, 1) == 32
    assert machine.seg[vmscan_of(machine.seg) + VMSCAN.zram_stored] == 32
    assert states(machine)["zram"] == 11 == counters(machine)["reclaim_page_alloc"]
    assert broken(machine) == []


def test_without_room_in_zram_anonymous_pages_are_not_scanned():
    machine = pressed("vmscan.zram_pages=0")
    assert scan_count(machine.seg, 0, LRU_ANON, 0) == 0
    assert scan_count(machine.seg, 0, LRU_FILE, 0) == 840


def test_scan_size_halves_with_each_priority():
    machine = pressed("vmscan.swappiness=100")
    assert [scan_count(machine.seg, 0, LRU_FILE, priority) for priority in (1, 2, 3)] == [210, 105, 52]


def test_only_kswapd_writes_dirty_pages():
    machine = pressed("apps.file_share=0", "apps.anon_share=0", "apps.dirty_share=1")
    clear_accessed(machine)
    assert shrink_inactive_list(machine.seg, machine.index("mutator/0"), 0, 0, LRU_DIRTY, 32, 0) == 0
    assert shrink_inactive_list(machine.seg, machine.index("kswapd/0"), HOUSEKEEPING, 0, LRU_DIRTY, 32, 1) == 32


def test_an_active_page_loses_its_accessed_bit_on_the_way_down():
    machine = pressed()
    me = machine.index("kswapd/0")
    shrink_inactive_list(machine.seg, me, HOUSEKEEPING, 0, LRU_FILE, 32, 1)
    assert shrink_active_list(machine.seg, me, HOUSEKEEPING, 0, LRU_FILE, 32) == 32
    assert lru_size(machine.seg, 0, LRU_FILE, ACTIVE) == 0
    assert shrink_inactive_list(machine.seg, me, HOUSEKEEPING, 0, LRU_FILE, 32, 1) == 0  # others were in use
    assert counter(machine.seg, me, VM.pgrefill) == 32


def test_a_pass_ends_near_its_target():
    machine = pressed()
    clear_accessed(machine)
    me = machine.index("mutator/0")
    freed = shrink_node(machine.seg, me, 0, 0, 0, 32, 0)
    assert 32 <= freed < 32 + 3 * 32
    assert machine.seg[task_of(machine.seg, me) + TASK.reclaimed] == freed
    assert lru_size(machine.seg, 0, LRU_FILE, INACTIVE) < 840


def test_burning_takes_at_least_as_long_as_it_says():
    from emu.shm import now_ns
    machine = pressed(filled=False)
    start = now_ns(machine.seg)
    burn(machine.seg, 0, 200_000)
    assert now_ns(machine.seg) - start >= 200_000
