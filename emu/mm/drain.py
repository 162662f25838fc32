"""Emptying every CPU's page lists, as a request does that found nothing after reclaim.

Holds   drain_all_pages() in both of the kernel's forms, and the CPU's side of the older one, drain_work().
Rule    "work" (up to v5.19): a request for each CPU with pages, done by that CPU's own process at its next scheduling
        point, while the requester waits. "remote" (from v6.1 on): the requester takes each CPU's pcp->lock itself.
        One drain at a time: who finds one under way goes on without.
Limits  a CPU whose process is not running, or sleeps where it does not look for work, is served by the requester: its
        kworker would run at once. The wait ends with the run.
After   Linux drain_all_pages(), drain_local_pages_wq() (KF 3.4).
"""

from emu.arch import jit, jit_apart, load_acquire, load_relaxed, store_relaxed, store_release
from emu.mm.gfp import CFG_MEMORY, DRAIN_REMOTE, cfg_memory
from emu.mm.pcp import drain_pages_zone, pcp_count, pcp_of
from emu.mm.zone import zone_of
from emu.shm import HEADER, MAP, PROC, RUNNING, STOP, line, now_ns, proc_of, region, run_state, struct
from emu.stats import HIST, VM, count, hist_record
from emu.sync import CPU, LOCK, bell_seen, cpu_of, proc_ring, proc_sleep, spin_trylock, spin_unlock

DRAINS = struct("drains", line("pcpu_drain_mutex", ("lock", LOCK.SIZE)))
DRAIN = struct(
    "drain",
    line("requester, under pcpu_drain_mutex", "asked", "requester"),
    line("the CPU's own process; the requester for one that is not there", "done"),
)

LOOK_NS = 1_000_000  # how often a requester looks whether a CPU can still serve it


@jit
def drain_of(seg, pcp_cpu):
    """Word offset of a CPU's request."""
    return region(seg, MAP.drains) + DRAINS.SIZE + pcp_cpu * DRAIN.SIZE


@jit_apart
def drain_pages(seg, me, pcp_cpu):
    """Give all pages on a CPU's lists back to their zones; how many. Anyone."""
    pages = 0
    for index in range(region(seg, MAP.nr_zones)):
        pages += drain_pages_zone(seg, me, zone_of(seg, index), pcp_of(seg, index, pcp_cpu))
    count(seg, me, VM.drain_local_pages)
    return pages


@jit
def has_pcp_pages(seg, pcp_cpu):
    """1 if any of the CPU's lists has a page."""
    for index in range(region(seg, MAP.nr_zones)):
        if pcp_count(seg, pcp_of(seg, index, pcp_cpu)) != 0:
            return 1
    return 0


@jit
def drain_asked(seg, cpu):
    """1 if somebody waits for this CPU to empty its lists. ACQ drain.work."""
    drain = drain_of(seg, cpu)
    # ACQ drain.work: the request before the lists it is about. Pairs with REL in drain_ask().
    return 1 if load_acquire(seg, drain + DRAIN.asked) != load_relaxed(seg, drain + DRAIN.done) else 0


@jit_apart
def drain_work(seg, me, cpu):
    """Serve a request for CPU `cpu`, if there is one: the work item's turn. The CPU's mutator, outside any section."""
    if drain_asked(seg, cpu) == 0:
        return 0
    drain = drain_of(seg, cpu)
    asked = load_relaxed(seg, drain + DRAIN.asked)
    pages = drain_pages(seg, me, cpu)
    # REL drain.done: the pages in their zones before the word. Pairs with ACQ in drain_wait().
    store_release(seg, drain + DRAIN.done, asked)
    proc_ring(seg, load_relaxed(seg, drain + DRAIN.requester))
    return pages


@jit
def own_process(seg, cpu):
    """Process that does a CPU's work items: its mutator."""
    return seg[cpu_of(seg, cpu) + CPU.mutator]


@jit
def drain_ask(seg, me, cpu):
    """Ask a CPU's own process to empty its lists."""
    drain = drain_of(seg, cpu)
    store_relaxed(seg, drain + DRAIN.requester, me)
    # REL drain.work: the requester before the request. Pairs with ACQ in drain_asked().
    store_release(seg, drain + DRAIN.asked, load_relaxed(seg, drain + DRAIN.asked) + 1)
    proc_ring(seg, own_process(seg, cpu))


@jit
def drain_wait(seg, me, cpu, mine):
    """Wait until a CPU has served its request, serving our own CPU `mine`. Returns pages drained in its place."""
    drain = drain_of(seg, cpu)
    asked = load_relaxed(seg, drain + DRAIN.asked)
    looked = now_ns(seg) + LOOK_NS
    while run_state(seg) < STOP:
        seen = bell_seen(seg, me)
        # ACQ drain.done: the word before the pages in their zones. Pairs with REL in drain_work().
        if load_acquire(seg, drain + DRAIN.done) == asked:
            return 0
        if mine >= 0:
            drain_work(seg, me, mine)
        now = now_ns(seg)
        if now >= looked:
            other = proc_of(seg, own_process(seg, cpu))
            if load_relaxed(seg, other + PROC.state) != RUNNING or load_relaxed(seg, other + PROC.sleeping) != 0:
                store_relaxed(seg, drain + DRAIN.done, asked)
                return drain_pages(seg, me, cpu)
            looked = now + LOOK_NS
        proc_sleep(seg, me, seen, now + LOOK_NS)
    store_relaxed(seg, drain + DRAIN.done, asked)
    return 0


@jit
def drain_by_work(seg, me, pcp_cpu):
    """The older form. Returns the pages drained by `me`; what others drained is in their counters."""
    cpus = seg[HEADER.nr_cpus]
    pages = 0
    for cpu in range(cpus):
        if cpu != pcp_cpu and has_pcp_pages(seg, cpu) != 0:
            if load_relaxed(seg, proc_of(seg, own_process(seg, cpu)) + PROC.state) == RUNNING:
                drain_ask(seg, me, cpu)
            else:
                pages += drain_pages(seg, me, cpu)
    pages += drain_pages(seg, me, pcp_cpu)
    if pcp_cpu != cpus:
        pages += drain_pages(seg, me, cpus)
    mine = pcp_cpu if pcp_cpu < cpus and own_process(seg, pcp_cpu) == me else -1
    for cpu in range(cpus):
        if cpu != pcp_cpu and drain_asked(seg, cpu) != 0:
            pages += drain_wait(seg, me, cpu, mine)
    return pages


@jit_apart
def drain_all_pages(seg, me, pcp_cpu):
    """Empty every CPU's lists; returns the pages that `me` drained. Where the caller may sleep, outside any lock."""
    mutex = region(seg, MAP.drains) + DRAINS.lock
    if spin_trylock(seg, me, mutex) == 0:
        return 0
    start = now_ns(seg)
    count(seg, me, VM.drain_all_pages)
    pages = 0
    if seg[cfg_memory(seg) + CFG_MEMORY.drain_rule] == DRAIN_REMOTE:
        for cpu in range(region(seg, MAP.nr_pcp_cpus)):
            if has_pcp_pages(seg, cpu) != 0:
                pages += drain_pages(seg, me, cpu)
    else:
        pages = drain_by_work(seg, me, pcp_cpu)
    spin_unlock(seg, me, mutex)
    hist_record(seg, me, HIST.drain_all_ns, now_ns(seg) - start)
    return pages
