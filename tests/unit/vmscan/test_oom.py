"""Who is killed, what becomes of him, and when the machine panics."""

from emu.mm import GFP_KERNEL, GFP_NOWAIT, MIGRATE_MOVABLE, NO_PAGE, ZONE, alloc_page, zone_of
from emu.shm import HEADER, PF_OOM_VICTIM, PROC, STOP
from emu.vmscan import KILL, MM, PANIC_TEXTS, VMSCAN, app_step, kill_of, mm_of, out_of_memory, vmscan_of
from emu.vmscan.oom import badness, exit_mmap, oom_reap, select_bad_process, somebody_is_dying
from emu.vmscan.state import KILLED_BY_OOM, PANIC_NO_VICTIM, PANIC_ON_OOM
from tests.unit.vmscan.pressed import HOUSEKEEPING, broken, counters, eat, free_pages, pressed, rss, states

TIGHT = ("apps.anon_share=1", "apps.file_share=0", "vmscan.zram_pages=0")


def test_points_are_pages_and_adj_in_thousandths_of_memory():
    machine = pressed("apps.oom_score_adj=[0, 100]")
    assert badness(machine.seg, 0) == 700
    assert badness(machine.seg, 1) == 700 + 100 * (2048 + 300) // 1000
    assert select_bad_process(machine.seg) == 1


def test_minus_thousand_exempts():
    machine = pressed("apps.oom_score_adj=[0, -1000]")
    assert select_bad_process(machine.seg) == 0


def test_the_victim_gets_its_reserve_and_gives_everything_back():
    machine = pressed("apps.oom_score_adj=[0, 900]")
    eat(machine)
    before = free_pages(machine)
    assert out_of_memory(machine.seg, machine.index("mutator/0")) == 1
    me = machine.index("app/1")
    assert machine.seg[machine.plan.proc(me) + PROC.flags] & PF_OOM_VICTIM
    zone = zone_of(machine.seg, 0)
    taken = 0
    while (pfn := alloc_page(machine.seg, me, HOUSEKEEPING, GFP_KERNEL, MIGRATE_MOVABLE)) != NO_PAGE:
        taken += 1
        assert pfn and taken < 2000
    assert taken > 0  # a refill of the CPU's list takes a batch below the floor
    assert free_pages(machine) + (machine.seg[zone + ZONE.batch] << 5) >= machine.seg[zone + ZONE.wmark_min] // 2
    assert app_step(machine.seg, me, HOUSEKEEPING) == 0
    assert rss(machine, 1) == 0 and free_pages(machine) + 200 > before + 700 - taken
    kill = kill_of(machine.seg, 0)
    assert machine.seg[kill + KILL.app] == 1 and machine.seg[kill + KILL.cause] == KILLED_BY_OOM
    assert machine.seg[kill + KILL.rss] == 700 and machine.seg[kill + KILL.done_at] >= machine.seg[kill + KILL.at]
    assert counters(machine)["oom_kill"] == 1 and broken(machine) == [] and machine.fault == 0


def test_nobody_else_is_killed_while_a_victim_is_dying():
    machine = pressed()
    for _ in range(3):
        assert out_of_memory(machine.seg, machine.index("mutator/0")) == 1
    assert counters(machine)["oom_kill"] == 1 and somebody_is_dying(machine.seg) == 1
    victim = machine.seg[kill_of(machine.seg, 0) + KILL.app]
    app_step(machine.seg, machine.index(f"app/{victim}"), HOUSEKEEPING)
    assert somebody_is_dying(machine.seg) == 0
    out_of_memory(machine.seg, machine.index("mutator/0"))
    assert counters(machine)["oom_kill"] == 2


def test_the_one_that_asks_is_killed_where_the_key_says_so():
    machine = pressed("vmscan.oom_kill_allocating_task=true", "apps.oom_score_adj=[0, 900]")
    out_of_memory(machine.seg, machine.index("app/0"))
    assert machine.seg[kill_of(machine.seg, 0) + KILL.app] == 0


def test_the_reaper_takes_what_a_victim_keeps_for_too_long():
    machine = pressed("vmscan.oom_reaper_delay_ms=0")
    out_of_memory(machine.seg, machine.index("mutator/0"))
    assert oom_reap(machine.seg, machine.index("kswapd/0"), HOUSEKEEPING) == 0
    victim = machine.seg[kill_of(machine.seg, 0) + KILL.app]
    assert rss(machine, victim) == 0 and counters(machine)["oom_reaped"] == 1
    assert somebody_is_dying(machine.seg) == 0 and broken(machine) == []


def test_the_reaper_waits_for_its_time():
    machine = pressed("vmscan.oom_reaper_delay_ms=60000")
    out_of_memory(machine.seg, machine.index("mutator/0"))
    assert oom_reap(machine.seg, machine.index("kswapd/0"), HOUSEKEEPING) > 0
    assert counters(machine)["oom_reaped"] == 0


def panicked(machine):
    """Why the machine panicked. The panicking process would stand still: the run is at its end already."""
    machine.seg[HEADER.run_state] = STOP
    assert out_of_memory(machine.seg, machine.index("mutator/0")) == 0
    return machine.seg[vmscan_of(machine.seg) + VMSCAN.panic]


def test_no_killable_process_is_a_panic():
    machine = pressed("apps.oom_score_adj=[-1000]")
    assert panicked(machine) == PANIC_NO_VICTIM in PANIC_TEXTS


def test_panic_on_oom_kills_nobody():
    machine = pressed("vmscan.panic_on_oom=1")
    assert panicked(machine) == PANIC_ON_OOM
    assert counters(machine)["oom_kill"] == 0


def test_leaving_twice_at_once_frees_each_page_once():
    machine = pressed()
    pages = exit_mmap(machine.seg, machine.index("app/0"), HOUSEKEEPING, 0)
    assert pages == 700 and exit_mmap(machine.seg, machine.index("kswapd/0"), HOUSEKEEPING, 0) == 0
    assert states(machine)["lru"] == 700 and machine.fault == 0 and machine.seg[mm_of(machine.seg, 0) + MM.rss] == 0


def test_a_nowait_request_never_asks_the_killer():
    machine = pressed(*TIGHT)
    eat(machine, GFP_NOWAIT)
    assert counters(machine)["oom_kill"] == 0
