"""Sources of the user's own: a function from a file beside the scenario, called like any other source.

Holds   the hooks that such functions are bound to, and what is checked of what they return.
Rule    take(seg, me, cpu, stock, now) -> page or NO_PAGE, under krc->lock, as every source. A page must have come from
        emu.policy.api in this very call (PAGE.home is HOME_HANDED) and be a bnode of this CPU; any other is a page
        that somebody else owns, and stops the run. put(seg, me, cpu, stock, pfn) -> 1 if it kept the page, else 0.
Limits  at most USER_SOURCES of them; USER_WORDS words per CPU for all of them to remember things in.
"""

from emu.arch import Hook, jit, jit_apart
from emu.mm import NO_PAGE, OWNER_SHIFT, PAGE, PG_BNODE, page_of
from emu.policy.pool import HOME_HANDED, HOME_NONE, HOME_USER, set_home
from emu.policy.stock import POLICY, policy_of
from emu.shm import F_FOREIGN_PAGE, MAP, raise_fault, region
from emu.stats import VM, count

USER_SOURCES = 4
USER_WORDS = 64

take_hooks = [Hook(f"user_take_{k}", 4) for k in range(USER_SOURCES)]
put_hooks = [Hook(f"user_put_{k}", 4) for k in range(USER_SOURCES)]
_take_0, _take_1, _take_2, _take_3 = take_hooks
_put_0, _put_1, _put_2, _put_3 = put_hooks


@jit
def words_of(seg, cpu):
    """First of the USER_WORDS words of a CPU. Under its krc->lock; zero at the start."""
    return region(seg, MAP.user_words) + cpu * USER_WORDS


@jit
def is_handed(seg, cpu, pfn):
    """1 if the page is a bnode of this CPU that the api handed out in this call."""
    first = region(seg, MAP.first_pfn)
    if pfn < first or pfn >= first + region(seg, MAP.nr_pages):
        return 0
    page = page_of(seg, pfn)
    return 1 if seg[page] == PG_BNODE | cpu << OWNER_SHIFT and seg[page + PAGE.home] == HOME_HANDED else 0


@jit
def state_or_none(seg, pfn):
    """State of a page; of what is no page, "absent"."""
    first = region(seg, MAP.first_pfn)
    if pfn < first or pfn >= first + region(seg, MAP.nr_pages):
        return 0
    return seg[page_of(seg, pfn)] & 0xFF


@jit_apart
def take_user(seg, me, cpu, stock, which, now):
    """Ask the user's source number `which`. Under krc->lock."""
    if which == 0:
        pfn = _take_0(seg, me, cpu, stock, now)
    elif which == 1:
        pfn = _take_1(seg, me, cpu, stock, now)
    elif which == 2:
        pfn = _take_2(seg, me, cpu, stock, now)
    else:
        pfn = _take_3(seg, me, cpu, stock, now)
    if pfn == NO_PAGE:
        count(seg, me, VM.user_miss)
        return NO_PAGE
    if is_handed(seg, cpu, pfn) == 0:
        raise_fault(seg, me, F_FOREIGN_PAGE, pfn, state_or_none(seg, pfn), which)
        return NO_PAGE
    set_home(seg, pfn, HOME_USER + which)
    count(seg, me, VM.user_hit)
    return pfn


@jit_apart
def put_user(seg, me, cpu, stock, pfn, which):
    """Offer a page that the source gave to the source's put function; 1 if it kept it. Under krc->lock."""
    if seg[policy_of(seg) + POLICY.user_puts] & (1 << which) == 0:
        set_home(seg, pfn, HOME_NONE)
        return 0
    set_home(seg, pfn, HOME_HANDED)
    if which == 0:
        kept = _put_0(seg, me, cpu, stock, pfn)
    elif which == 1:
        kept = _put_1(seg, me, cpu, stock, pfn)
    elif which == 2:
        kept = _put_2(seg, me, cpu, stock, pfn)
    else:
        kept = _put_3(seg, me, cpu, stock, pfn)
    if kept == 0:
        if is_handed(seg, cpu, pfn) == 0:  # shelved, and yet not kept: it would be given away twice
            raise_fault(seg, me, F_FOREIGN_PAGE, pfn, state_or_none(seg, pfn), which)
            return 1
        set_home(seg, pfn, HOME_NONE)
        return 0
    if is_handed(seg, cpu, pfn) != 0:  # kept in words alone: nobody would ever find it again
        raise_fault(seg, me, F_FOREIGN_PAGE, pfn, PG_BNODE, which)
    return 1
