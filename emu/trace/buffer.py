"""Event buffers: one per process, its process alone writes, anyone reads at any time.

Holds   TRACE (one header per process), trace_event(), and the reading side: read_events(), lost_events().
Rule    a slot is four words: time, event and low half of its number, a, b. `head` counts events, free-running;
        it moves after the slot is whole, so an event that a killed writer left half written is never read.
        A writer that comes round to a used slot renumbers it before it touches the rest, so a reader that
        finds the number it expects *after* it copied the slot has copied that event and no mixture.
        What is lost is counted: OVERWRITE drops the oldest, STOP the newest.
Limits  events per process: 0 (disabled: one load, one branch per trace_event()) or a power of two.
        A time stamp is most of the cost of an event: about 10-25 ns.
After   Linux kernel/trace/ring_buffer.c (modes), seqcount latches (number, copy, number).
"""

from emu.arch import jit, jit_apart, load_acquire, load_relaxed, private_words, store_relaxed, store_release
from emu.errors import ConfigError
from emu.shm import HEADER, MAP, line, now_ns, record, region, round_to_line, struct
from emu.trace.events import EVENT_NAMES

OVERWRITE, STOP_WHEN_FULL = 0, 1
MODES = {"overwrite": OVERWRITE, "stop": STOP_WHEN_FULL}

TRACE = struct(
    "trace_header",
    line("init_trace(), before any writer", "slots", "mask", "mode"),  # slots: word offset of the first; 0 = disabled
    line("the process itself", "head", "lost"),
)
SLOT = record("trace_slot", "time", "event", "a", "b")
_NUMBER = 0xFFFFFFFF


@jit_apart
def trace_event(seg, me, event, a, b):
    """Append an event (of EV), stamped now, to `me`'s buffer. Process `me` alone; wait-free."""
    header = region(seg, MAP.trace) + me * TRACE.SIZE
    slots = seg[header + TRACE.slots]
    if slots != 0:
        _append(seg, header, slots, event, a, b)
    return 0


@jit
def _append(seg, header, slots, event, a, b):
    head = load_relaxed(seg, header + TRACE.head)  # relaxed: our own word
    mask = seg[header + TRACE.mask]
    if head > mask and seg[header + TRACE.mode] == STOP_WHEN_FULL:
        store_relaxed(seg, header + TRACE.lost, load_relaxed(seg, header + TRACE.lost) + 1)
        return
    slot = slots + (head & mask) * SLOT.SIZE
    store_relaxed(seg, slot + SLOT.event, (event << 32) | (head & _NUMBER))
    # REL trace.reuse: the new number before the new words. Pairs with ACQ in copy_events().
    store_release(seg, slot + SLOT.time, now_ns(seg))
    store_release(seg, slot + SLOT.a, a)  # REL trace.reuse: likewise. Pairs with ACQ in copy_events().
    store_release(seg, slot + SLOT.b, b)  # REL trace.reuse: likewise. Pairs with ACQ in copy_events().
    # REL trace.full: slot before head. Pairs with ACQ in copy_events().
    store_release(seg, header + TRACE.head, head + 1)


@jit
def copy_events(seg, me, into):
    """Copy `me`'s events, oldest first, as four words each to `into`; returns (copied, recorded so far).

    Any process, any time. `into`: private words with room for a full buffer. What is copied has no gap: the event
    that the writer overtook meanwhile and all before it are left out, so recorded - copied are the oldest.
    """
    header = region(seg, MAP.trace) + me * TRACE.SIZE
    slots = seg[header + TRACE.slots]
    if slots == 0:
        return 0, 0
    mask = seg[header + TRACE.mask]
    head = load_acquire(seg, header + TRACE.head)  # ACQ trace.full: head before slots. Pairs with REL in _append().
    copied = 0
    for number in range(max(0, head - mask - 1), head):
        slot = slots + (number & mask) * SLOT.SIZE
        at = copied * SLOT.SIZE
        # ACQ trace.reuse: the words before their number. Pairs with REL in _append().
        into[at + SLOT.time] = load_acquire(seg, slot + SLOT.time)
        into[at + SLOT.a] = load_acquire(seg, slot + SLOT.a)  # ACQ trace.reuse: likewise. Pairs with REL in _append().
        into[at + SLOT.b] = load_acquire(seg, slot + SLOT.b)  # ACQ trace.reuse: likewise. Pairs with REL in _append().
        tag = load_relaxed(seg, slot + SLOT.event)  # relaxed: the loads above keep their place before it
        into[at + SLOT.event] = tag >> 32
        if tag & _NUMBER == number & _NUMBER:
            copied += 1
        else:  # the writer has come this far: what was copied before is older still, and would leave a gap
            copied = 0
    return copied, head


def check_events(events: int) -> None:
    """Raise ConfigError unless a buffer may have this many events."""
    if events < 0 or events & (events - 1):
        above = 1 << max(0, events).bit_length()
        raise ConfigError(f"trace.events_per_process = {events}: must be 0 (no trace) or a power of two; use {above}")


def trace_words(nr_procs: int, events: int) -> int:
    """Words that headers and buffers of `events` slots take for `nr_procs` processes. Raises ConfigError."""
    check_events(events)
    return nr_procs * (TRACE.SIZE + round_to_line(events * SLOT.SIZE))


def init_trace(seg, nr_procs: int, events: int, mode: int = OVERWRITE) -> None:
    """Lay out the trace region: headers first, then buffers. The launcher, once, before any writer."""
    check_events(events)
    assert mode in (OVERWRITE, STOP_WHEN_FULL), f"trace mode {mode}"
    base = region(seg, MAP.trace)
    assert base > 0, "the trace region has no place yet"
    for me in range(nr_procs):
        header = base + me * TRACE.SIZE
        buffer = base + nr_procs * TRACE.SIZE + me * round_to_line(events * SLOT.SIZE)
        seg[header + TRACE.slots] = buffer if events else 0
        seg[header + TRACE.mask] = events - 1 if events else 0
        seg[header + TRACE.mode] = mode
        seg[header + TRACE.head] = seg[header + TRACE.lost] = 0


def lost_events(seg, me: int) -> int:
    """Events of `me` that are in no buffer any more, or never were. Any process, any time."""
    header = region(seg, MAP.trace) + me * TRACE.SIZE
    if seg[header + TRACE.slots] == 0:
        return 0
    overwritten = max(0, load_relaxed(seg, header + TRACE.head) - seg[header + TRACE.mask] - 1)
    return load_relaxed(seg, header + TRACE.lost) + overwritten


def read_events(seg, me: int) -> tuple[list[tuple[int, str, int, int]], int]:
    """`me`'s events as (time_ns, name, a, b), oldest first, and how many were lost. Any process, any time.

    Read live or after the writer was killed, every event is whole. Lost are, in mode overwrite, those that the
    writer came round to, also while this function copied; in mode stop, those that found no room.
    """
    header = region(seg, MAP.trace) + me * TRACE.SIZE
    if seg[header + TRACE.slots] == 0:
        return [], 0
    into = private_words((seg[header + TRACE.mask] + 1) * SLOT.SIZE)
    copied, recorded = copy_events(seg, me, into)
    words = into.words[: copied * SLOT.SIZE].tolist()
    into.release()
    events = [
        (words[at], EVENT_NAMES[words[at + 1]], words[at + 2], words[at + 3]) for at in range(0, len(words), SLOT.SIZE)
    ]
    return events, recorded - copied + load_relaxed(seg, header + TRACE.lost)


def read_all_events(seg) -> list[tuple[int, int, str, int, int]]:
    """Events of every process as (time_ns, process, name, a, b), in order of time."""
    merged = []
    for me in range(seg[HEADER.nr_procs]):
        merged += [(t, me, name, a, b) for t, name, a, b in read_events(seg, me)[0]]
    merged.sort()
    return merged
