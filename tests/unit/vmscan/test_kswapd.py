"""kswapd: when it wakes, how long it works, how it goes to sleep."""

from emu.mm import GFP_NOWAIT, MIGRATE_UNMOVABLE, NO_PAGE, ZONE, alloc_page, zone_of
from emu.shm import PF_MEMALLOC, PROC, now_ns
from emu.vmscan import PGDAT, kswapd_begin, kswapd_step, pgdat_balanced, wakeup_kswapd
from emu.vmscan.kswapd import balance_pgdat
from emu.vmscan.state import KSWAPD_ASLEEP, KSWAPD_AWAKE, KSWAPD_DOZING, MAX_RECLAIM_RETRIES, TASK, pgdat_of, task_of
from tests.unit.vmscan.pressed import HOUSEKEEPING, broken, counters, eat, free_pages, pressed


def begun(*overrides):
    """(machine, process, pgdat): kswapd asleep, memory short."""
    machine = pressed(*overrides)
    me = machine.index("kswapd/0")
    kswapd_begin(machine.seg, me, 0)
    eat(machine)
    return machine, me, pgdat_of(machine.seg, 0)


def test_it_reclaims_until_the_node_is_above_high_and_dozes():
    machine, me, pgdat = begun()
    assert machine.seg[pgdat + PGDAT.requested] == 1  # eat() has met LOW
    wake = kswapd_step(machine.seg, me, HOUSEKEEPING, 0, 0)
    while machine.seg[pgdat + PGDAT.state] != KSWAPD_DOZING:
        wake = kswapd_step(machine.seg, me, HOUSEKEEPING, 0, wake)
    assert pgdat_balanced(machine.seg, 0) == 1
    assert free_pages(machine) > machine.seg[zone_of(machine.seg, 0) + ZONE.wmark_high]
    assert wake > now_ns(machine.seg)
    assert counters(machine)["pgsteal_kswapd"] > 0 and counters(machine)["pageoutrun"] > 0
    assert machine.fault == 0 and broken(machine) == []


def test_after_a_quiet_doze_it_sleeps():
    machine, me, pgdat = begun()
    wake = 0
    while machine.seg[pgdat + PGDAT.state] != KSWAPD_DOZING:
        wake = kswapd_step(machine.seg, me, HOUSEKEEPING, 0, wake)
    assert kswapd_step(machine.seg, me, HOUSEKEEPING, 0, wake) == wake  # woken for nothing: it dozes on
    assert kswapd_step(machine.seg, me, HOUSEKEEPING, 0, 1) == 0
    assert machine.seg[pgdat + PGDAT.state] == KSWAPD_ASLEEP


def test_a_mark_hit_in_the_doze_is_counted():
    machine, me, pgdat = begun()
    machine.seg[pgdat + PGDAT.requested] = 0
    machine.seg[pgdat + PGDAT.state] = KSWAPD_DOZING
    eat(machine)
    kswapd_step(machine.seg, me, HOUSEKEEPING, 0, now_ns(machine.seg) + 10**9)
    assert counters(machine)["kswapd_low_wmark_hit_quickly"] == 1


def test_it_is_not_woken_while_awake_or_balanced():
    machine = pressed()
    pgdat = pgdat_of(machine.seg, 0)
    machine.seg[pgdat + PGDAT.state] = KSWAPD_ASLEEP
    assert pgdat_balanced(machine.seg, 0) == 1 and wakeup_kswapd(machine.seg, 0, 0) == 0
    eat(machine)
    machine.seg[pgdat + PGDAT.requested] = 0
    machine.seg[pgdat + PGDAT.state] = KSWAPD_AWAKE
    assert wakeup_kswapd(machine.seg, 0, 0) == 0
    machine.seg[pgdat + PGDAT.state] = KSWAPD_ASLEEP
    assert wakeup_kswapd(machine.seg, 0, 0) == 1
    assert wakeup_kswapd(machine.seg, 0, 0) == 0  # asked for already


def test_it_gives_up_after_sixteen_passes_that_freed_nothing():
    machine, me, pgdat = begun("apps.anon_share=1", "apps.file_share=0", "vmscan.zram_pages=0")
    wake, steps = 0, 0
    while machine.seg[pgdat + PGDAT.state] != KSWAPD_ASLEEP or steps == 0:
        wake = kswapd_step(machine.seg, me, HOUSEKEEPING, 0, wake)
        steps += 1
        assert steps <= MAX_RECLAIM_RETRIES
    assert machine.seg[pgdat + PGDAT.failures] == MAX_RECLAIM_RETRIES
    assert wakeup_kswapd(machine.seg, 0, 0) == 0


def test_a_pass_with_progress_forgets_failures():
    machine, me, pgdat = begun()
    machine.seg[pgdat + PGDAT.failures] = 15
    # the first pass may find everything in use, and only clear the accessed bits
    assert max(balance_pgdat(machine.seg, me, HOUSEKEEPING, 0) for _ in range(3)) > 0
    assert machine.seg[pgdat + PGDAT.failures] == 0


def test_it_may_eat_every_reserve():
    machine, me, _pgdat = begun()
    assert machine.seg[machine.plan.proc(me) + PROC.flags] & PF_MEMALLOC
    before = free_pages(machine)
    assert alloc_page(machine.seg, me, HOUSEKEEPING, GFP_NOWAIT, MIGRATE_UNMOVABLE) != NO_PAGE
    assert free_pages(machine) < before <= machine.seg[zone_of(machine.seg, 0) + ZONE.wmark_low]


def test_a_kswapd_that_gets_no_page_for_zram_skips_anonymous_pages():
    machine, me, _pgdat = begun("apps.anon_share=1", "apps.file_share=0")
    while alloc_page(machine.seg, me, HOUSEKEEPING, GFP_NOWAIT, MIGRATE_UNMOVABLE) != NO_PAGE:
        pass
    assert [balance_pgdat(machine.seg, me, HOUSEKEEPING, 0) for _ in range(12)] == [0] * 12
    assert counters(machine)["reclaim_page_fail"] > 0 and broken(machine) == []


def test_it_wakes_who_waits_for_it():
    machine, me, _pgdat = begun()
    word = task_of(machine.seg, machine.index("mutator/0")) + TASK.throttled
    machine.seg[word] = 1
    bell = machine.seg[machine.plan.proc(machine.index("mutator/0")) + PROC.bell]
    balance_pgdat(machine.seg, me, HOUSEKEEPING, 0)
    assert machine.seg[word] == 0
    assert machine.seg[machine.plan.proc(machine.index("mutator/0")) + PROC.bell] == bell + 1
