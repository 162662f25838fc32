"""Many putters, many getters: a bounded ring of page frame numbers, lock-free in the strict sense.

Holds   MPMC (four lines) and, right behind it, 2 * n entries of one word: [cycle:32 | safe:1 | value:31], where the
        value VOID means "nothing here". n >= capacity.
Rule    a ticket is a value of tail (for a put) or head (for a get). Ticket t belongs to entry t mod 2n and to cycle
        t div 2n. The putter and the getter of the same ticket meet in that entry:
        1. the putter writes [cycle of t, safe, value] over an entry that is void and of an earlier cycle;
        2. the getter takes the value if the entry has its cycle; else the putter has not come, and it must not come
           any more: a void entry is raised to the getter's cycle (so 1 fails), an entry that still holds an older
           value is marked unsafe, and then the putter may use it only while head <= t, that is, while getter t has
           not come. Whoever finds its entry spoilt draws another ticket.
None    is lost or doubled: a ticket is drawn by one putter and one getter; every change of an entry but the last
        one, void, is a compare-and-swap on the whole word, and void is set by the one getter whose cycle it is, with
        a fetch_or that keeps a mark made meanwhile. After a put succeeded its getter finds it, whenever it comes.
Full    is exact, without a counter: a put draws its ticket with a compare-and-swap of tail from t to t + 1 after
        t - (a past value of head) < capacity. Head only grows, so tail - head <= capacity at every moment: values not
        promised to a getter never exceed the capacity. It may refuse early by the number of stopped getters: each
        keeps one entry, and a ticket spent on such an entry counts until the getters pass it. An overflow, which
        would break rule 1, is impossible rather than detected.
Empty   tail <= head when looked at: each value has its getter. Or the threshold ran out: it is set to 3n - 1 when a
        put has finished, each getter's ticket that found nothing lowers it, and below zero getters go away, so that
        they cannot for ever spoil the entries of putters. It cannot run out while a finished put's value waits at
        ticket t: the losing tickets from then on are those of at most k - 1 getters under way and those between
        head and t, less than n: together < 3n - 1 for k <= 2n participants.
Strict  nobody waits for anybody: a lost compare-and-swap means that another changed the word, and the changes
        possible without a completed operation are finite: tail stops at head + capacity, head stops by the
        threshold, an entry rises through its cycles. A participant stopped for ever keeps at most one value (the one
        it was putting or had drawn) and one entry.
ABA     tickets are 64 bits and never come again. Cycles are compared by difference in 32 bits: an operation that
        is stopped and goes on after 2**31 laps (2**31 * 2n other operations; 45 minutes at 100 M/s and n = 64) may
        misjudge an entry; one stopped for good never does.
Near    Entries of neighbouring tickets share a line on purpose. Spread over lines (tried with steps of 9 and 17 words)
        one putter and one getter on two cores move 26 and 10 M values/s instead of 71, since every value then is a
        line in flight; with two that put and get on a ring that is nearly empty there was no difference.
Limits  values 0 .. 2**31 - 2; at most 2n participants (processes that ever call put or get), see mpmc_init().
After   Ruslan Nikolaev, "A Scalable, Portable, and Memory-Efficient Lock-Free FIFO Queue" (SCQ, DISC 2019), with the
        value in the place of the index, and with tail moved by compare-and-swap so that full is known.
"""

from emu.arch import (
    cmpxchg_acq_rel,
    cpu_relax,
    fetch_add_acq_rel,
    fetch_or_acq_rel,
    jit,
    load_acquire,
    load_relaxed,
    smp_mb_after_atomic,
    store_relaxed,
    store_release,
    wrap64,
)
from emu.ring.position import ahead
from emu.shm import LINE_WORDS, line, struct

EMPTY = -1  # nothing to get

VOID = (1 << 31) - 1  # value of an entry that holds none; all value bits, so that a fetch_or sets it
SAFE = 1 << 31
MPMC_VALUE_MAX = VOID - 1
PARTICIPANTS = 256  # default of mpmc_init()
PAUSES = 16  # after a lost compare-and-swap
_RETRY = -2  # from _miss(): draw another ticket

MPMC = struct(
    "mpmc",
    line("putters and late getters, by cmpxchg; head_seen: any putter, some past head", "tail", "head_seen"),
    line("getters, by fetch_add; tail_seen: any getter, some past tail", "head", "tail_seen"),
    line("putters that find it low; getters that find nothing, by fetch_add", "threshold"),
    line("mpmc_init(), before any use", "mask", "order", "capacity", "threshold_max"),
)


def _ring_order(capacity: int, participants: int) -> int:
    """log2 of the number of entries, 2n."""
    assert 0 < capacity < 1 << 30, f"capacity {capacity} is not in 1 .. 2**30 - 1"
    assert participants > 0, f"participants {participants} must be >= 1"
    return (max(2 * capacity, participants, 2 * LINE_WORDS) - 1).bit_length()


def mpmc_words_needed(capacity: int, participants: int = PARTICIPANTS) -> int:
    """Words of a ring for `capacity` values (any number) and so many participants, header included; whole lines."""
    return MPMC.SIZE + (1 << _ring_order(capacity, participants))


def mpmc_init(seg, ring: int, capacity: int, participants: int = PARTICIPANTS, start: int = 0) -> None:
    """Make an empty ring at word `ring`, before anybody uses it.

    participants: how many processes may ever be inside put or get at once; killed or stopped ones count.
    start: first ticket, for tests near the wrap.
    """
    order = _ring_order(capacity, participants)
    size = 1 << order
    start = wrap64(start & ~(size - 1))
    for word in (MPMC.tail, MPMC.head_seen, MPMC.head, MPMC.tail_seen):
        seg[ring + word] = start
    seg[ring + MPMC.threshold] = -1
    seg[ring + MPMC.mask] = size - 1
    seg[ring + MPMC.order] = order
    seg[ring + MPMC.capacity] = capacity
    seg[ring + MPMC.threshold_max] = 3 * (size // 2) - 1
    before = wrap64(((start >> order) - 1) << 32)
    for i in range(size):
        seg[ring + MPMC.SIZE + i] = before | SAFE | VOID


@jit
def mpmc_put(seg, ring, value):
    """Put a value (0 .. MPMC_VALUE_MAX); 1, or 0 when the ring is full. Anyone, beside anything. Lock-free.

    Never more than `capacity` values are admitted. REL ring.value: what the putter wrote before.
    """
    mask = seg[ring + MPMC.mask]
    order = seg[ring + MPMC.order]
    capacity = seg[ring + MPMC.capacity]
    # ACQ ring.tail: tail before head, so that full was true then. Pairs with the ticket drawn below.
    t = load_acquire(seg, ring + MPMC.tail)
    while True:
        # Any past head will do, it only makes the ring look fuller.
        if ahead(t, load_relaxed(seg, ring + MPMC.head_seen)) >= capacity:
            # ACQ ring.head: head before what is done about it. Pairs with REL in mpmc_get().
            h = load_acquire(seg, ring + MPMC.head)
            store_relaxed(seg, ring + MPMC.head_seen, h)
            if ahead(t, h) >= capacity:
                return 0  # tail was at least t when head was h
        slot = ring + MPMC.SIZE + (t & mask)
        cycle = wrap64((t >> order) << 32)
        # REL ring.tail: the look at head before the ticket. Pairs with ACQ in _ticket_ahead().
        seen = cmpxchg_acq_rel(seg, ring + MPMC.tail, t, wrap64(t + 1))
        if seen != t:
            for _ in range(PAUSES):
                cpu_relax()
            t = load_acquire(seg, ring + MPMC.tail)  # ACQ ring.tail: as above
            continue
        entry = load_acquire(seg, slot)  # ACQ ring.unsafe: the mark before head, see _may_put()
        while _may_put(seg, ring, entry, cycle, t):
            # REL ring.value: the page's words before its number. Pairs with ACQ in mpmc_get().
            seen = cmpxchg_acq_rel(seg, slot, entry, cycle | SAFE | value)
            if seen == entry:
                smp_mb_after_atomic()  # MB ring.threshold: entry before threshold. Pairs with fetch_add in _miss().
                full = seg[ring + MPMC.threshold_max]
                if load_relaxed(seg, ring + MPMC.threshold) != full:
                    # REL ring.threshold: entry before threshold. Pairs with ACQ in mpmc_get().
                    store_release(seg, ring + MPMC.threshold, full)
                return 1
            entry = seen
        t = load_acquire(seg, ring + MPMC.tail)  # ACQ ring.tail: as above


@jit
def _may_put(seg, ring, entry, cycle, ticket):
    """Whether the putter of `ticket` may overwrite `entry`: void, of an earlier cycle, and its getter not past."""
    if ahead(entry, cycle) >= 0 or entry & VOID != VOID:
        return False
    # ACQ ring.unsafe: the mark (read with the entry) before head. Pairs with MB in mpmc_get().
    return entry & SAFE != 0 or ahead(load_acquire(seg, ring + MPMC.head), ticket) <= 0


@jit
def mpmc_get(seg, ring):
    """The oldest value, or EMPTY. Anyone, beside anything. Lock-free. ACQ ring.value."""
    # ACQ ring.threshold: threshold before tickets. Pairs with REL in mpmc_put().
    if load_acquire(seg, ring + MPMC.threshold) < 0:
        return EMPTY
    mask = seg[ring + MPMC.mask]
    order = seg[ring + MPMC.order]
    while True:
        if not _ticket_ahead(seg, ring):
            return EMPTY
        # REL ring.head: the look at tail before the ticket. Pairs with ACQ in mpmc_put().
        h = fetch_add_acq_rel(seg, ring + MPMC.head, 1)
        smp_mb_after_atomic()  # MB ring.unsafe: head before entry. Pairs with ACQ in _may_put().
        slot = ring + MPMC.SIZE + (h & mask)
        cycle = wrap64((h >> order) << 32)
        entry = load_acquire(seg, slot)  # ACQ ring.value: number before the page's words. Pairs with REL in mpmc_put().
        if ahead(entry, cycle) >> 32 == 0:
            fetch_or_acq_rel(seg, slot, VOID)  # keeps an unsafe mark that came meanwhile
            return entry & VOID
        value = _miss(seg, ring, slot, entry, cycle, h)
        if value != _RETRY:
            return value


@jit
def _ticket_ahead(seg, ring):
    """Whether some putter drew a ticket that no getter has drawn. False: at one moment every value had its getter."""
    h = load_acquire(seg, ring + MPMC.head)  # ACQ ring.head: head before tail. Pairs with REL in mpmc_get().
    if ahead(h, load_relaxed(seg, ring + MPMC.tail_seen)) < 0:
        return True  # any past tail will do, it only makes the ring look emptier
    # ACQ ring.tail: tail before what is done about it. Pairs with REL in mpmc_put().
    t = load_acquire(seg, ring + MPMC.tail)
    store_relaxed(seg, ring + MPMC.tail_seen, t)
    return ahead(h, t) < 0


@jit
def _miss(seg, ring, slot, entry, cycle, h):
    """Getter h did not find its value at first sight: spoil the entry for putter h, unless it comes just then.

    Returns the value, EMPTY, or _RETRY.
    """
    while True:
        lag = ahead(entry, cycle) >> 32
        if lag == 0:
            fetch_or_acq_rel(seg, slot, VOID)  # ACQ ring.value: as in mpmc_get()
            return entry & VOID
        if lag > 0:
            break  # a later getter was here; its cycle keeps putter h out as well
        new = entry & ~SAFE
        if entry & VOID == VOID:
            new = cycle | (entry & SAFE) | VOID
        if new == entry:
            break  # an older value, marked unsafe already
        # ACQ ring.value: where it fails, the value has come. Pairs with REL in mpmc_put().
        seen = cmpxchg_acq_rel(seg, slot, entry, new)
        if seen == entry:
            break
        entry = seen
    t = load_acquire(seg, ring + MPMC.tail)  # ACQ ring.tail: as in _ticket_ahead()
    if ahead(t, h) <= 1:
        _catch_up(seg, ring, t, wrap64(h + 1))
        fetch_add_acq_rel(seg, ring + MPMC.threshold, -1)  # MB ring.threshold: as below
        return EMPTY
    # MB ring.threshold: the look at the entry before the threshold is lowered. Pairs with MB in mpmc_put().
    if fetch_add_acq_rel(seg, ring + MPMC.threshold, -1) <= 0:
        return EMPTY
    return _RETRY


@jit
def _catch_up(seg, ring, t, h):
    """Getters overtook tail: move it up to head, so that the next putter does not draw tickets that are spent.

    Only a saving of work, so one lost compare-and-swap ends it: somebody else moved tail.
    """
    if ahead(h, t) > 0:
        cmpxchg_acq_rel(seg, ring + MPMC.tail, t, h)  # REL ring.tail: as in mpmc_put()


@jit
def mpmc_count(seg, ring):
    """About how many values wait: exact when nobody is inside put or get and none was stopped there. Anyone."""
    h = load_acquire(seg, ring + MPMC.head)  # ACQ ring.head: head before tail. Pairs with REL in mpmc_get().
    waiting = ahead(load_relaxed(seg, ring + MPMC.tail), h)
    return max(0, min(waiting, seg[ring + MPMC.capacity]))
