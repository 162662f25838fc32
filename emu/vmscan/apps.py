"""Applications: background tasks that hold real pages, touch them, and fault back in what was reclaimed.

Holds   an application's bounded steps: its first pages, touches and faults, its way out when it is killed.
Rule    a touch sets the accessed bit of a slot. A slot without a page faults: a page is allocated (with all that a
        sleeping caller goes through), what a reclaimed page costs to read back is burnt, and the page goes to the
        lists. Nine touches of ten go to the hot part. An application that stalls does not catch up.
Limits  no data but the slots. A killed application gives everything back and sleeps until the run ends; it is not
        started again.
After   Linux handle_mm_fault(), mm/workingset.c (refaults).
"""

from emu.arch import fetch_add_relaxed, jit, jit_apart, load_relaxed, store_relaxed, wrap64
from emu.mm import GFP_KERNEL, GFP_NOWAIT, GFP_NOWARN, MIGRATE_MOVABLE, NO_PAGE, PG_TAKEN, alloc_page, free_page
from emu.shm import HEADER, now_ns
from emu.stats import HIST, VM, count, hist_record
from emu.trace import EV, trace_event
from emu.vmscan.lru import ACCESSED, ACTIVE, EMPTY, EVICTED, INACTIVE, lru_add, slot_page, slot_swap
from emu.vmscan.oom import being_killed, exit_mmap, kind_of_slot
from emu.vmscan.psi import PSI_IDLE, PSI_RUNNING, memstall_enter, memstall_leave, psi_change
from emu.vmscan.shrink import burn
from emu.vmscan.state import KILL, LRU_ANON, MAX_KILLS, MM, VMSCAN, app_of, kill_of, mm_of, vmscan_of
from emu.vmscan.zram import zram_free

SLICE_NS = 1_000_000  # an application's work is done in slices of this length
TOUCHES_PER_STEP = 64
_MULTIPLIER, _INCREMENT = 6364136223846793005, 1442695040888963407  # Knuth's MMIX


@jit
def random_below(seg, word, limit):
    """A number in 0..limit-1, limit below 2**31; moves the state word. Its owner only."""
    state = wrap64(wrap64(seg[word] * _MULTIPLIER) + _INCREMENT)
    seg[word] = state
    return ((state >> 32 & 0x7FFFFFFF) * limit) >> 31


@jit
def slot_at(seg, mm, index):
    """Word offset of an application's index-th slot."""
    return seg[mm + MM.slots] + index


@jit
def map_page(seg, me, pcp_cpu, mm, index, word, pfn):
    """Map a page that `me` holds in a slot that was `word`, and give it to the lists. 0 if the slot had changed."""
    slot = slot_at(seg, mm, index)
    if slot_swap(seg, slot, word, pfn << 1 | ACCESSED) == 0:
        free_page(seg, me, pcp_cpu, pfn, PG_TAKEN, me)
        return 0
    fetch_add_relaxed(seg, mm + MM.rss, 1)
    kind = kind_of_slot(seg, mm, index)
    lru_add(seg, me, pcp_cpu, pfn, slot, kind, ACTIVE if word == EVICTED else INACTIVE)
    return 1


@jit_apart
def refault(seg, me, pcp_cpu, mm, index):
    """What it takes to have a reclaimed page's content back, beside the page: its cost, its place in zram. 0."""
    kind = kind_of_slot(seg, mm, index)
    burn(seg, me, seg[vmscan_of(seg) + VMSCAN.cost_ns + kind])
    if kind == LRU_ANON:
        fetch_add_relaxed(seg, mm + MM.swap, -1)
        zram_free(seg, me, pcp_cpu)
        count(seg, me, VM.pswpin)
        count(seg, me, VM.workingset_refault_anon)
    else:
        count(seg, me, VM.workingset_refault_file)
    count(seg, me, VM.pgmajfault)
    return 0


@jit_apart
def fault_in(seg, me, pcp_cpu, mm, index, word):
    """A touch of a slot without a page. 1 if it has one now; 0 when there was none to be had."""
    start = now_ns(seg)
    before = PSI_RUNNING
    if word == EVICTED:
        before = memstall_enter(seg, me)
    pfn = alloc_page(seg, me, pcp_cpu, GFP_KERNEL, MIGRATE_MOVABLE)
    got = 0
    if pfn == NO_PAGE:
        seg[mm + MM.failed] += 1
    else:
        got = map_page(seg, me, pcp_cpu, mm, index, word, pfn)
        if got != 0 and word == EVICTED:
            refault(seg, me, pcp_cpu, mm, index)
        count(seg, me, VM.pgfault)
    if word == EVICTED:
        memstall_leave(seg, me, before)
    hist_record(seg, me, HIST.app_fault_ns, now_ns(seg) - start)
    return got


@jit
def touch(seg, me, pcp_cpu, mm, index):
    """Use a page of the application."""
    slot = slot_at(seg, mm, index)
    word = load_relaxed(seg, slot)
    seg[mm + MM.touches] += 1
    if slot_page(word) == 0:
        fault_in(seg, me, pcp_cpu, mm, index, word)
    elif word & ACCESSED == 0:
        slot_swap(seg, slot, word, word | ACCESSED)  # if it fails the page has just gone: the next touch faults


@jit
def draw_slot(seg, mm):
    """A slot to touch: nine times of ten from the hot sixteenths."""
    index = random_below(seg, mm + MM.random, seg[mm + MM.pages])
    if random_below(seg, mm + MM.random, 10) != 0:
        hot = index - index % 16 + random_below(seg, mm + MM.random, seg[mm + MM.hot_sixteenths])
        if hot < seg[mm + MM.pages]:
            return hot
    return index


@jit_apart
def app_prepare(seg, me, pcp_cpu):
    """Before the start line: the pages that it holds from the beginning, as far as they are there without waiting."""
    mm = mm_of(seg, app_of(seg, me))
    for index in range(seg[mm + MM.resident_at_start]):
        pfn = alloc_page(seg, me, pcp_cpu, GFP_NOWAIT | GFP_NOWARN, MIGRATE_MOVABLE)
        if pfn == NO_PAGE:
            break
        map_page(seg, me, pcp_cpu, mm, index, EMPTY, pfn)
    return 0


@jit
def app_begin(seg, me):
    """At time zero."""
    mm = mm_of(seg, app_of(seg, me))
    seg[mm + MM.next_touch] = seg[HEADER.t_zero]


@jit_apart
def app_leave(seg, me, pcp_cpu):
    """Killed: give everything back, and note when. Returns the pages given back."""
    app = app_of(seg, me)
    mm = mm_of(seg, app)
    pages = exit_mmap(seg, me, pcp_cpu, app)
    now = now_ns(seg)
    hist_record(seg, me, HIST.kill_to_exit_ns, now - load_relaxed(seg, mm + MM.kill_at))
    index = load_relaxed(seg, mm + MM.killed) - 1
    if index < MAX_KILLS:
        seg[kill_of(seg, index) + KILL.done_at] = now
    store_relaxed(seg, mm + MM.exited_at, now)
    psi_change(seg, me, PSI_IDLE)
    trace_event(seg, me, EV.app_exit, app, pages)
    return pages


@jit_apart
def app_step(seg, me, pcp_cpu):
    """A slice of touches that are due. Returns the time of the next, or 0 once the application has left."""
    mm = mm_of(seg, app_of(seg, me))
    if being_killed(seg, me) != 0:
        if load_relaxed(seg, mm + MM.exited_at) == 0:
            app_leave(seg, me, pcp_cpu)
        return 0
    pace = seg[mm + MM.touch_ns]
    now = now_ns(seg)
    if pace == 0:
        return now + 1_000_000_000
    due = seg[mm + MM.next_touch]
    if now < due:
        return due
    psi_change(seg, me, PSI_RUNNING)
    for _ in range(min(TOUCHES_PER_STEP, (now - due) // pace + 1)):
        touch(seg, me, pcp_cpu, mm, draw_slot(seg, mm))
        due += pace
        if being_killed(seg, me) != 0:
            break
    now = now_ns(seg)
    if now - due > SLICE_NS + TOUCHES_PER_STEP * pace:
        due = now  # it was stalled: it goes on from here
    seg[mm + MM.next_touch] = due
    if now < due:
        psi_change(seg, me, PSI_IDLE)
        return max(due, now + SLICE_NS)
    return now
