"""What each kind of user does when operations are due: bounded steps.

Holds   user_step(), which is all that a user's process does between two looks at its bell.
Rule    a user that stands for a task of an emulated CPU runs only where that CPU's mutator may be preempted
        (cpu_enter()). An operation is a page for victim, filler, cache and greedy, a burst for atomic, a round for
        pcp_hog.
After   KF 8.3, S16 of KF 1.2 (pcp_hog), S15 (greedy).
"""

from emu.arch import jit, jit_apart
from emu.mm import NO_PAGE, PAGE, page_of
from emu.shm import now_ns
from emu.sync import cpu_enter
from emu.users.user import (
    ATOMIC,
    FILLER,
    GREEDY,
    PAGE_CACHE,
    PCP_HOG,
    USR,
    VICTIM,
    add,
    free_total,
    min_total,
    operations_due,
    pause_until,
    user_give,
    user_take,
    user_unhold,
)
from emu.vmscan import VMSCAN, file_pages, page_cache_add, vmscan_of

TAKING, GIVING = 0, 1
HOG_STEP = 256  # pages that a round of pcp_hog moves in one step


@jit_apart
def victim_step(seg, me, user, operations):
    """Ping-pong: take a burst, give it back, until so many pages have gone both ways."""
    burst = seg[user + USR.burst]
    done = 0
    while done < operations:
        for _ in range(burst):
            user_take(seg, me, user, seg[user + USR.order])
        while user_give(seg, me, user) != 0:
            pass
        done += burst
    return 0


@jit_apart
def filler_step(seg, me, user, operations):
    """Take pages until free memory is down at the low mark, give them until it is up at the high one, and again."""
    for _ in range(operations):
        if seg[user + USR.phase] == TAKING:
            if free_total(seg) <= seg[user + USR.low_pages] or seg[user + USR.held] >= seg[user + USR.pages]:
                seg[user + USR.phase] = GIVING
            elif user_take(seg, me, user, 0) == NO_PAGE:
                seg[user + USR.phase] = GIVING
        elif free_total(seg) >= seg[user + USR.high_pages] or user_give(seg, me, user) == 0:
            seg[user + USR.phase] = TAKING
    return 0


@jit_apart
def cache_step(seg, me, user, operations):
    """Read a file that is not cached: one page after the other, up to the limit; reclaimable where the machine does."""
    vmscan = vmscan_of(seg)
    reclaims = seg[vmscan + VMSCAN.active] | seg[vmscan + VMSCAN.kswapd_on]
    for _ in range(operations):
        held = file_pages(seg) if reclaims != 0 else seg[user + USR.held]
        if held >= seg[user + USR.pages]:
            break
        pfn = user_take(seg, me, user, 0)
        if pfn != NO_PAGE and reclaims != 0:
            page_cache_add(seg, me, seg[user + USR.pcp_cpu], user_unhold(seg, user))
            add(seg, user + USR.cached, 1)
    return 0


@jit
def oldest_is_over(seg, user, now):
    """1 if the oldest pages have been held for as long as they should be."""
    pfn = seg[user + USR.head]
    if pfn == NO_PAGE:
        return 0
    return 1 if now - seg[page_of(seg, pfn) + PAGE.stamp] >= seg[user + USR.hold_ns] else 0


@jit
def draw_order(seg, user):
    """An order from 0 to USR.order, each as likely: a linear congruence is random enough for it."""
    state = (seg[user + USR.random] * 1_103_515_245 + 12_345) & 0x7FFFFFFF
    seg[user + USR.random] = state
    return (state >> 16) % (seg[user + USR.order] + 1)


@jit_apart
def atomic_step(seg, me, user, operations):
    """Bursts of packets: each takes blocks of drawn orders, held for a while; how far below MIN they reach is noted."""
    for _ in range(operations):
        for _ in range(seg[user + USR.burst]):
            if user_take(seg, me, user, draw_order(seg, user)) != NO_PAGE:
                below = min_total(seg) - free_total(seg)
                if below > seg[user + USR.depth]:
                    seg[user + USR.depth] = below
    return 0


@jit_apart
def greedy_step(seg, me, user, operations):
    """Take pages of the shared reserve as if one were critical, up to the limit."""
    for _ in range(operations):
        if seg[user + USR.held] < seg[user + USR.pages]:
            user_take(seg, me, user, 0)
    return 0


@jit_apart
def give_what_is_over(seg, me, user, now):
    """Free what has been held long enough; returns when the next one will have been, or 0."""
    while oldest_is_over(seg, user, now) != 0:
        user_give(seg, me, user)
    pfn = seg[user + USR.head]
    return 0 if pfn == NO_PAGE else seg[page_of(seg, pfn) + PAGE.stamp] + seg[user + USR.hold_ns]


@jit_apart
def pcp_hog_step(seg, me, user):
    """A part of a round: take pages without blocking until the round is full or one fails, then free all of them.

    Returns 1 while the round lasts.
    """
    moved = 0
    while seg[user + USR.phase] == TAKING and moved < HOG_STEP:
        moved += 1
        if seg[user + USR.held] >= seg[user + USR.pages] or user_take(seg, me, user, 0) == NO_PAGE:
            seg[user + USR.phase] = GIVING
    while seg[user + USR.phase] == GIVING and moved < HOG_STEP:
        moved += 1
        if user_give(seg, me, user) == 0:
            seg[user + USR.phase] = TAKING
            return 0
    return 1


@jit_apart
def hog_rounds(seg, me, user, now):
    """The rounds of pcp_hog, one after the other, each begun when it is due. Returns when to step again."""
    if seg[user + USR.held] == 0 and seg[user + USR.phase] == TAKING:
        if now < seg[user + USR.due]:
            return pause_until(seg, user, now)
        interval = seg[user + USR.interval_ns]
        late = (now - seg[user + USR.due]) // interval  # a round that takes longer than its interval: the next waits
        add(seg, user + USR.left_out, late)
        add(seg, user + USR.operations, 1)
        seg[user + USR.due] += (late + 1) * interval
    return now if pcp_hog_step(seg, me, user) != 0 else pause_until(seg, user, now)


@jit_apart
def user_step(seg, me, user):
    """One bounded step of a user. Its process only. Returns when to step again: sleep until then."""
    if seg[user + USR.cpu] >= 0:
        cpu_enter(seg, me, seg[user + USR.cpu])
    now = now_ns(seg)
    kind = seg[user + USR.kind]
    if kind == PCP_HOG:
        return hog_rounds(seg, me, user, now)
    over = 0
    if kind == ATOMIC or kind == GREEDY:
        over = give_what_is_over(seg, me, user, now)
    operations = operations_due(seg, me, user, now)
    if operations > 0:
        if kind == VICTIM:
            victim_step(seg, me, user, operations)
        elif kind == FILLER:
            filler_step(seg, me, user, operations)
        elif kind == PAGE_CACHE:
            cache_step(seg, me, user, operations)
        elif kind == ATOMIC:
            atomic_step(seg, me, user, operations)
        else:
            greedy_step(seg, me, user, operations)
    wake = pause_until(seg, user, now)
    return min(wake, over) if over > 0 else wake
