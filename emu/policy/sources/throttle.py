"""Source "throttle" (S18): a one-argument caller is held until there is a page or a grace period has elapsed.

Rule    GFP_KERNEL again and again, asleep for a jiffy in between, and never longer than the grace period that began
        after the call: when that has elapsed the object is freed at once (STOCK.gp_waited), with no second wait. The
        CPU is idle for RCU while its caller sleeps, so it cannot hold up what it waits for.
After   the mails of 2020-08-15 and 17 (KF 1.2, S18).
"""

from emu.arch import jit_apart, smp_mb, store_relaxed
from emu.mm import GFP_KERNEL_NORETRY, MIGRATE_UNMOVABLE, NO_PAGE, PG_BNODE, PG_TAKEN, alloc_page, page_move
from emu.policy.stock import STOCK
from emu.rcu import (
    RDP,
    get_state_synchronize_rcu,
    poll_state_synchronize_rcu,
    rcu_eqs_enter,
    rcu_eqs_exit,
    rcu_request_gp,
    rdp_of,
    timer_expiry,
)
from emu.shm import STOP, now_ns, run_state
from emu.stats import HIST, VM, count, hist_record
from emu.sync import bell_seen, proc_sleep


@jit_apart
def take_throttled(seg, me, cpu, stock):
    """A page, sooner or later, or NO_PAGE with STOCK.gp_waited set. Mutator of `cpu`, sleepable, no lock held.

    The caller accounts for the page (held_add).
    """
    start = now_ns(seg)
    pfn = alloc_page(seg, me, cpu, GFP_KERNEL_NORETRY, MIGRATE_UNMOVABLE)
    if pfn == NO_PAGE:
        pfn = hold_back(seg, me, cpu, stock)
        hist_record(seg, me, HIST.throttle_ns, now_ns(seg) - start)
    if pfn != NO_PAGE:
        count(seg, me, VM.throttle_hit)
        page_move(seg, me, pfn, PG_TAKEN, PG_BNODE, cpu)
    return pfn


@jit_apart
def hold_back(seg, me, cpu, stock):
    """Block until a page or a grace period comes."""
    smp_mb()  # MB rcu.snap: what was unpublished before the cookie. Pairs with gp_start()
    cookie = get_state_synchronize_rcu(seg)
    rcu_request_gp(seg, cookie)
    rdp = rdp_of(seg, cpu)
    pfn = NO_PAGE
    while pfn == NO_PAGE and run_state(seg) < STOP:
        rcu_eqs_enter(seg, me, cpu)
        store_relaxed(seg, rdp + RDP.gp_wait, 1)
        smp_mb()  # MB rcu.wait: announcement before the look at the sequence. Pairs with gp_cleanup()
        seen = bell_seen(seg, me)
        elapsed = poll_state_synchronize_rcu(seg, cookie)
        if elapsed == 0:
            proc_sleep(seg, me, seen, timer_expiry(seg, now_ns(seg), 1))
            elapsed = poll_state_synchronize_rcu(seg, cookie)
        store_relaxed(seg, rdp + RDP.gp_wait, 0)
        rcu_eqs_exit(seg, cpu)
        if elapsed != 0:
            seg[stock + STOCK.gp_waited] = 1
            count(seg, me, VM.throttle_gp)
            break
        pfn = alloc_page(seg, me, cpu, GFP_KERNEL_NORETRY, MIGRATE_UNMOVABLE)
    return pfn
