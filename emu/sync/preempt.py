"""Sections that the kernel does not preempt, kept between processes that stand for one CPU.

Holds   CPU: preempt count and need_resched of each emulated CPU, and who belongs to it.
Rule    the mutator of a CPU counts sections; a bound worker that comes on core while the count is above zero asks
        for the CPU (need_resched) and sleeps. Leaving the last section looks at need_resched and lets it in.
        Leaving is the fast path: one store, one relaxed load, no fence. The worker pays instead, with
        membarrier(), which is a full fence on the mutator's core (edge cpu.resched).
Limits  the mutator alone moves its preempt count. Whoever asks sleeps at most ASIDE_SLEEP_NS before it looks again,
        so a host without membarrier loses time, never a wake-up.
After   Linux preempt_count() and TIF_NEED_RESCHED; membarrier(2) for the asymmetric fence.
"""

from emu.arch import (
    Hook,
    barrier,
    jit,
    jit_apart,
    load_acquire,
    load_relaxed,
    membarrier,
    sched_yield,
    store_relaxed,
    store_release,
)
from emu.shm import MAP, PROC, STOP, line, now_ns, proc_of, region, run_state, struct
from emu.stats import VM, count
from emu.sync.bell import bell_seen, proc_ring, proc_sleep
from emu.trace import EV, trace_event

CPU = struct(
    "cpu",
    line("mutator", "preempt_count", "t_open", "section", "softirq"),
    line("whoever asks for the CPU; the mutator clears it", "need_resched"),
    line("boot()", "mutator", "refill", "reclaim", "core", "online",
         "counts"),
    line("boot()", "users"),  # its first user of memory, counted from 1; the others by PROC.sibling
)

# (seg, me, cpu): what runs where a section ends, if CPU.softirq says that something was raised in it.
do_softirq = Hook("do_softirq", 2)

ASIDE_SLEEP_NS = 10_000_000
NOBODY = -1


@jit
def cpu_of(seg, cpu):
    """Word offset of an emulated CPU's record."""
    return region(seg, MAP.cpus) + cpu * CPU.SIZE


@jit
def preempt_disable(seg, cpu):
    """Enter a section in which no bound worker of this CPU runs. Mutator only; nests."""
    word = cpu_of(seg, cpu) + CPU.preempt_count
    store_relaxed(seg, word, seg[word] + 1)
    barrier()  # the count is seen by a process of this core before anything of the section is


@jit
def preempt_enable(seg, me, cpu):
    """Leave the section; the last one out lets in whoever asked meanwhile. Mutator only."""
    cpu_words = cpu_of(seg, cpu)
    depth = seg[cpu_words + CPU.preempt_count] - 1
    # REL cpu.section: section before count. Pairs with ACQ in cpu_enter().
    store_release(seg, cpu_words + CPU.preempt_count, depth)
    barrier()  # MB cpu.resched: count before the look at need_resched; here a compiler's, cpu_enter() fences for both
    if depth == 0 and load_relaxed(seg, cpu_words + CPU.need_resched) != 0:
        preempt_schedule(seg, me, cpu)


@jit_apart
def preempt_schedule(seg, me, cpu):
    """Let the CPU's workers in: wake those that asked, and give the core away once."""
    cpu_words = cpu_of(seg, cpu)
    store_relaxed(seg, cpu_words + CPU.need_resched, 0)
    store_relaxed(seg, cpu_words + CPU.t_open, now_ns(seg))
    if seg[cpu_words + CPU.softirq] != 0:
        seg[cpu_words + CPU.softirq] = 0
        do_softirq(seg, me, cpu)
    count(seg, me, VM.preempt_resched)
    trace_event(seg, me, EV.preempt_resched, cpu, 0)
    if seg[cpu_words + CPU.refill] != NOBODY:
        proc_ring(seg, seg[cpu_words + CPU.refill])
    if seg[cpu_words + CPU.reclaim] != NOBODY:
        proc_ring(seg, seg[cpu_words + CPU.reclaim])
    user = seg[cpu_words + CPU.users]
    while user != 0:
        proc_ring(seg, user - 1)
        user = seg[proc_of(seg, user - 1) + PROC.sibling]
    sched_yield()
    return 0


@jit
def model_section(seg, cpu, inside):
    """Say that one of the CPU's sections is that of a kernel without preemption (1), which no count knows of. Mutator.

    Between preempt_disable() and preempt_enable() of that section.
    """
    seg[cpu_of(seg, cpu) + CPU.section] = inside


@jit
def atomic_depth(seg, cpu):
    """How often the mutator has disabled preemption itself: what preempt_count() would be if it were kept."""
    cpu_words = cpu_of(seg, cpu)
    return load_relaxed(seg, cpu_words + CPU.preempt_count) - load_relaxed(seg, cpu_words + CPU.section)


@jit
def preemptible(seg, cpu):
    """The kernel's preemptible(): 1 if this CPU is in no atomic section; always 0 where preemption is not counted.

    Exact for the mutator, a hint for everybody else.
    """
    if seg[cpu_of(seg, cpu) + CPU.counts] == 0:
        return 0
    return 1 if atomic_depth(seg, cpu) == 0 else 0


@jit_apart
def ring_or_defer(seg, me, cpu, worker):
    """Wake a worker of this CPU as a kernel would: at once, or, inside a section, when the section ends.

    Mutator of `cpu` only. A woken kworker is runnable but cannot run inside a section; waking its process there
    would only have it stand aside. Returns 1 if the wake-up was deferred.
    """
    cpu_words = cpu_of(seg, cpu)
    bound = seg[cpu_words + CPU.refill] == worker or seg[cpu_words + CPU.reclaim] == worker
    if bound and seg[cpu_words + CPU.preempt_count] > 0:
        store_relaxed(seg, cpu_words + CPU.need_resched, 1)
        return 1
    proc_ring(seg, worker)
    return 0


@jit_apart
def cpu_enter(seg, me, cpu):
    """Come on an emulated CPU as one of its workers: wait until its mutator is in no section.

    Returns the nanoseconds stood aside. Returns early when the run ends.
    """
    cpu_words = cpu_of(seg, cpu)
    # ACQ cpu.section: count before what the section left behind. Pairs with REL in preempt_enable().
    if load_acquire(seg, cpu_words + CPU.preempt_count) == 0:
        return 0
    start = now_ns(seg)
    count(seg, me, VM.preempt_stood_aside)
    while run_state(seg) < STOP:
        seen = bell_seen(seg, me)
        store_relaxed(seg, cpu_words + CPU.need_resched, 1)
        membarrier()  # MB cpu.resched: request before the look at the count, on both cores. Pairs with preempt_enable()
        if load_acquire(seg, cpu_words + CPU.preempt_count) == 0:  # ACQ cpu.section: as above
            break
        proc_sleep(seg, me, seen, now_ns(seg) + ASIDE_SLEEP_NS)
    aside = now_ns(seg) - start
    trace_event(seg, me, EV.stood_aside, cpu, aside)
    return aside
