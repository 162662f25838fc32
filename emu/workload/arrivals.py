"""When calls arrive: closed loops, open-loop schedules, bursts, rcuscale's loops, recorded demand.

Rule    an open-loop arrival has its time fixed before the load knows how it fares; being late is recorded and does
        not move later arrivals (no coordinated omission). Closed kinds have no due times.
Limits  the interval of a Poisson stream is drawn when the arrival before it is consumed.
After   KF 6.1 (rcuscale), 8.3.
"""

from emu.arch import jit, jit_apart
from emu.rcu import gp_seq
from emu.shm import HEADER, now_ns
from emu.stats import HIST, VM, count, counter, hist_record
from emu.sync import CTX_TASK
from emu.trace import EV, trace_event
from emu.workload.demand import (
    BURST,
    CONSTANT,
    CONTEXT_BITS,
    FLOOD,
    LOAD,
    POISSON,
    RCUSCALE,
    REPLAY,
)
from emu.workload.memory import memory_available
from emu.workload.random import random_exponential

UNLIMITED = 1 << 40
LATE_NS = 1_000_000  # an arrival is counted late beyond this


@jit
def arrivals_begin(seg, load, now):
    """Set the schedule going at time zero. Mutator only."""
    seg[load + LOAD.t_start] = now
    seg[load + LOAD.base] = now
    seg[load + LOAD.gp_begin] = gp_seq(seg)
    seg[load + LOAD.next_vmstat] = now + 1_000_000_000
    kind = seg[load + LOAD.kind]
    if kind == CONSTANT:
        seg[load + LOAD.due] = now + seg[load + LOAD.interval_ns]
    elif kind == POISSON:
        seg[load + LOAD.due] = now + random_exponential(seg, load + LOAD.random, seg[load + LOAD.interval_ns])
    elif kind == BURST:
        seg[load + LOAD.due] = now
        seg[load + LOAD.left] = seg[load + LOAD.burst_calls]
    elif kind == RCUSCALE:
        seg[load + LOAD.left] = seg[load + LOAD.alloc_num]
        sample_memory(seg, load)
    elif kind == REPLAY:
        seg[load + LOAD.due] = recorded_due(seg, load)


@jit
def calls_allowed(seg, load, now):
    """How many calls may be made at `now`; 0: none before LOAD.due. Mutator only."""
    kind = seg[load + LOAD.kind]
    if kind == FLOOD:
        return UNLIMITED
    if kind == RCUSCALE:
        return seg[load + LOAD.left] if seg[load + LOAD.due] <= now else 0
    if seg[load + LOAD.due] > now:
        return 0
    if kind == BURST:
        return seg[load + LOAD.left]
    return 1


@jit
def is_paced(seg, load):
    """1 if every call has a due time of its own."""
    kind = seg[load + LOAD.kind]
    return 1 if kind == CONSTANT or kind == POISSON or kind == REPLAY else 0


@jit
def note_lateness(seg, me, load, now):
    """Record how late an open-loop arrival is served."""
    late = now - seg[load + LOAD.due]
    hist_record(seg, me, HIST.arrival_lateness_ns, max(0, late))
    count(seg, me, VM.arrivals)
    if late > LATE_NS:
        count(seg, me, VM.arrivals_late)


@jit
def next_context(seg, load):
    """The context that the recording gives the present arrival; task for every other kind."""
    if seg[load + LOAD.kind] != REPLAY:
        return CTX_TASK
    word = seg[seg[load + LOAD.schedule] + seg[load + LOAD.position]]
    return word & ((1 << CONTEXT_BITS) - 1)


@jit
def calls_made(seg, me, cpu, load, calls, now):
    """Consume `calls` arrivals served at `now`; sets the next due time, or LOAD.done. Mutator only."""
    kind = seg[load + LOAD.kind]
    if kind == CONSTANT:
        note_lateness(seg, me, load, now)
        seg[load + LOAD.due] += seg[load + LOAD.interval_ns]
    elif kind == POISSON:
        note_lateness(seg, me, load, now)
        seg[load + LOAD.due] += random_exponential(seg, load + LOAD.random, seg[load + LOAD.interval_ns])
    elif kind == BURST:
        burst_made(seg, me, cpu, load, calls, now)
    elif kind == RCUSCALE:
        loop_made(seg, load, calls)
    elif kind == REPLAY:
        note_lateness(seg, me, load, now)
        recorded_made(seg, me, load)


@jit_apart
def burst_made(seg, me, cpu, load, calls, now):
    """Count down a burst that is served from `now` on; at its end sleep for the gap, or until the next one is due."""
    whole = seg[load + LOAD.burst_calls]
    if seg[load + LOAD.in_burst] == 0:
        seg[load + LOAD.in_burst] = 1
        if seg[load + LOAD.period_ns] > 0:
            note_lateness(seg, me, load, now)
        trace_event(seg, me, EV.burst_start, cpu, whole)
    seg[load + LOAD.left] -= calls
    if seg[load + LOAD.left] > 0:
        return 0
    seg[load + LOAD.in_burst] = 0
    seg[load + LOAD.left] = whole
    trace_event(seg, me, EV.burst_end, cpu, whole)
    if seg[load + LOAD.period_ns] > 0:
        seg[load + LOAD.due] += seg[load + LOAD.period_ns]
    else:
        seg[load + LOAD.due] = now_ns(seg) + seg[load + LOAD.gap_ns]
    return 0


@jit
def sample_memory(seg, load):
    """rcuscale's reading: the first is kept, each one is averaged in with weight one half."""
    pages = memory_available(seg)
    if seg[load + LOAD.loop] == 0:
        seg[load + LOAD.mem_begin] = pages
        seg[load + LOAD.mem_during] = pages
    else:
        seg[load + LOAD.mem_during] = (seg[load + LOAD.mem_during] + pages) // 2


@jit_apart
def loop_made(seg, load, calls):
    """Count down rcuscale's loop; samples memory at every quarter of the loops."""
    seg[load + LOAD.left] -= calls
    if seg[load + LOAD.left] > 0:
        return 0
    loop = seg[load + LOAD.loop] + 1
    seg[load + LOAD.loop] = loop
    if loop >= seg[load + LOAD.loops]:
        seg[load + LOAD.t_finish] = now_ns(seg)
        seg[load + LOAD.gp_finish] = gp_seq(seg)
        seg[load + LOAD.done] = 1
        return 0
    quarter = seg[load + LOAD.loops] // 4
    if quarter > 0 and loop % quarter == 0:
        sample_memory(seg, load)
    seg[load + LOAD.left] = seg[load + LOAD.alloc_num]
    if seg[load + LOAD.loop_sleep_ns] > 0:
        seg[load + LOAD.due] = now_ns(seg) + seg[load + LOAD.loop_sleep_ns]
    return 0


@jit
def recorded_due(seg, load):
    """Due time of the present arrival of a recording."""
    return seg[load + LOAD.base] + (seg[seg[load + LOAD.schedule] + seg[load + LOAD.position]] >> CONTEXT_BITS)


@jit
def recorded_gap(seg, load):
    """Time between the present recorded arrival and the one before it; endless for the first."""
    position = seg[load + LOAD.position]
    if position == 0:
        return UNLIMITED
    at = seg[load + LOAD.schedule] + position
    return (seg[at] >> CONTEXT_BITS) - (seg[at - 1] >> CONTEXT_BITS)


@jit_apart
def recorded_made(seg, me, load):
    """Go on to the next recorded arrival, or start the recording over after its pause."""
    seg[load + LOAD.position] += 1
    if seg[load + LOAD.position] >= seg[load + LOAD.schedule_len]:
        seg[load + LOAD.position] = 0
        seg[load + LOAD.round] += 1
        if seg[load + LOAD.round] == 1:
            seg[load + LOAD.pass_calls] = counter(seg, me, VM.kvfree_calls)
            seg[load + LOAD.pass_list] = counter(seg, me, VM.kvfree_fallback_list)
            seg[load + LOAD.pass_sync] = counter(seg, me, VM.kvfree_fallback_sync)
        if seg[load + LOAD.repeat] > 0 and seg[load + LOAD.round] >= seg[load + LOAD.repeat]:
            seg[load + LOAD.t_finish] = now_ns(seg)
            seg[load + LOAD.done] = 1
            return 0
        seg[load + LOAD.base] += seg[load + LOAD.schedule_span] + seg[load + LOAD.pause_ns]
    seg[load + LOAD.due] = recorded_due(seg, load)
    return 0


@jit
def whole_bursts_only(seg, load, now):
    """1 if the run's end may be taken now: between bursts, so that every burst of the result is whole."""
    if seg[load + LOAD.kind] == BURST and seg[load + LOAD.in_burst] != 0:
        return 1 if now > seg[HEADER.t_end] + 1_000_000_000 else 0
    return 1
