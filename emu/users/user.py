"""A user of memory: what it is to do, what it holds, and its pace.

Holds   USR, one record per [[users]] table: settings written at boot, progress written by its process; taking and
        giving of pages; the pace.
Rule    every page that a user has is really taken, in state PG_TAKEN with the user's process as its owner, on a list of
        its own, oldest first; whatever it still holds at the end goes back before it leaves.
        The pace is a schedule: operations have due times, are done in lots when it wakes, and what could not be
        done within LAG_NS is left out and counted, not caught up.
Limits  a held page's `next`, `counters` (order) and `stamp` (when it was taken) belong to its holder.
After   KF 8.3.
"""

from emu.arch import jit, jit_apart, load_relaxed, store_relaxed
from emu.mm import NO_PAGE, PAGE, PG_TAKEN, ZONE, alloc_pages, free_pages, page_of, zone_of
from emu.policy import shared_reserve_put, shared_reserve_take
from emu.shm import DRAINED, HEADER, MAP, PROC, line, now_ns, proc_of, region, struct
from emu.stats import HIST, VM, count, counter, hist_record
from emu.sync import pcp_cpu_now

VICTIM, FILLER, PAGE_CACHE, ATOMIC, GREEDY, PCP_HOG = 0, 1, 2, 3, 4, 5
USER_KINDS = {"victim": VICTIM, "filler": FILLER, "cache": PAGE_CACHE, "atomic": ATOMIC, "greedy": GREEDY,
              "pcp_hog": PCP_HOG}
USER_KIND_NAMES = {number: name for name, number in USER_KINDS.items()}

USR = struct(
    "user",
    line("boot()", "kind", "proc", "cpu", "pcp_cpu", "interval_ns", "pages", "order", "burst", "hold_ns", "gfp",
         "migratetype", "start_ns", "low_pages", "high_pages"),
    line("the user", "random", "due", "phase", "head", "tail", "held", "held_peak", "taken", "given", "failed",
         "missed", "operations", "left_out", "low_free", "depth", "cached"),
)

LAG_NS = 20_000_000  # operations later than this are left out
GRAIN_NS = 200_000  # shortest sleep: what falls due meanwhile is done in one go
STEP_OPS = 256  # operations of one step


@jit
def user_of(seg, index):
    """Word offset of a user's record."""
    return region(seg, MAP.users) + index * USR.SIZE


@jit
def free_total(seg):
    """NR_FREE_PAGES over all zones, as of now."""
    total = 0
    for index in range(region(seg, MAP.nr_zones)):
        total += load_relaxed(seg, zone_of(seg, index) + ZONE.nr_free)
    return total


@jit
def min_total(seg):
    """The MIN marks of all zones, summed."""
    total = 0
    for index in range(region(seg, MAP.nr_zones)):
        total += seg[zone_of(seg, index) + ZONE.wmark_min]
    return total


@jit
def add(seg, word, amount):
    """Add to a word of one's own that others read live."""
    store_relaxed(seg, word, seg[word] + amount)


@jit_apart
def user_take(seg, me, user, order):
    """Take 1 << order pages for the user `me`, timed; first page, or NO_PAGE, counted. The user's process only."""
    refilled = counter(seg, me, VM.pcp_refill_pages)
    start = now_ns(seg)
    if seg[user + USR.kind] == GREEDY:
        pfn = shared_reserve_take(seg, me, max(0, seg[user + USR.cpu]))
    else:
        pcp_cpu = pcp_cpu_now(seg, seg[user + USR.pcp_cpu])
        pfn = alloc_pages(seg, me, pcp_cpu, seg[user + USR.gfp], order, seg[user + USR.migratetype])
    end = now_ns(seg)
    hist_record(seg, me, HIST.user_alloc_ns, end - start)
    if counter(seg, me, VM.pcp_refill_pages) != refilled:
        add(seg, user + USR.missed, 1)
        count(seg, me, VM.user_pcp_miss)
    if pfn == NO_PAGE:
        add(seg, user + USR.failed, 1)
        count(seg, me, VM.user_alloc_fail)
        return NO_PAGE
    count(seg, me, VM.user_alloc)
    user_hold(seg, user, pfn, order, end)
    free = free_total(seg)
    if free < seg[user + USR.low_free]:
        seg[user + USR.low_free] = free
    return pfn


@jit
def user_hold(seg, user, pfn, order, now):
    """Put pages just taken at the end of the user's list."""
    page = page_of(seg, pfn)
    seg[page + PAGE.next] = NO_PAGE
    seg[page + PAGE.counters] = order
    seg[page + PAGE.stamp] = now
    if seg[user + USR.head] == NO_PAGE:
        seg[user + USR.head] = pfn
    else:
        seg[page_of(seg, seg[user + USR.tail]) + PAGE.next] = pfn
    seg[user + USR.tail] = pfn
    held = seg[user + USR.held] + (1 << order)
    store_relaxed(seg, user + USR.held, held)
    add(seg, user + USR.taken, 1 << order)
    if held > seg[user + USR.held_peak]:
        seg[user + USR.held_peak] = held


@jit
def user_unhold(seg, user):
    """Take the oldest pages off the user's list without freeing them: they are in the caller's hands; or NO_PAGE."""
    pfn = seg[user + USR.head]
    if pfn == NO_PAGE:
        return NO_PAGE
    page = page_of(seg, pfn)
    seg[user + USR.head] = seg[page + PAGE.next]
    store_relaxed(seg, user + USR.held, seg[user + USR.held] - (1 << seg[page + PAGE.counters]))
    return pfn


@jit_apart
def user_give(seg, me, user):
    """Free the oldest pages that the user holds, timed. 1, or 0 when it holds none. The user's process only."""
    pfn = user_unhold(seg, user)
    if pfn == NO_PAGE:
        return 0
    order = seg[page_of(seg, pfn) + PAGE.counters]
    add(seg, user + USR.given, 1 << order)
    start = now_ns(seg)
    if seg[user + USR.kind] == GREEDY:
        shared_reserve_put(seg, me, max(0, seg[user + USR.cpu]), pfn)
    else:
        free_pages(seg, me, pcp_cpu_now(seg, seg[user + USR.pcp_cpu]), pfn, order, PG_TAKEN, me)
    hist_record(seg, me, HIST.user_free_ns, now_ns(seg) - start)
    count(seg, me, VM.user_free)
    return 1


@jit
def user_begin(seg, me, user):
    """At time zero: start the schedule."""
    seg[user + USR.due] = seg[HEADER.t_zero] + seg[user + USR.start_ns]
    seg[user + USR.low_free] = free_total(seg)


@jit
def operations_due(seg, me, user, now):
    """How many operations are due, STEP_OPS at most; moves the schedule on. 0: none before USR.due."""
    due = seg[user + USR.due]
    if now < due:
        return 0
    interval = seg[user + USR.interval_ns]
    if now - due > LAG_NS:
        late = (now - due) // interval
        add(seg, user + USR.left_out, late)
        count(seg, me, VM.user_left_out)
        due += late * interval
    operations = min((now - due) // interval + 1, STEP_OPS)
    seg[user + USR.due] = due + operations * interval
    add(seg, user + USR.operations, operations)
    return operations


@jit
def pause_until(seg, user, now):
    """When the user has to wake for its schedule: never sooner than a grain from now, unless it is behind."""
    due = seg[user + USR.due]
    return due if due <= now else max(due, now + GRAIN_NS)


@jit_apart
def user_finish(seg, me, user):
    """The load is over: give everything back."""
    while user_give(seg, me, user) != 0:
        pass
    store_relaxed(seg, proc_of(seg, me) + PROC.state, DRAINED)
    return 0
