"""One producer, one consumer: a wait-free ring of words, for doorbells, trace events and batch hand-over.

Holds   SPSC (three lines) and, right behind it, a power-of-two number of slots.
Rule    head is written by the producer only, tail and taken by the consumer only; both run free and are masked only
        to reach a slot, so full and empty need no spare slot: head - tail is the number of slots not yet given back.
        Nothing is lost or doubled, because a slot changes hands twice per lap and never by a race:
        1. ring.full: the producer writes the slot, then head; the consumer reads head, then the slot;
        2. ring.free: the consumer reads the slot, then writes tail; the producer reads tail, then writes the slot.
        Each side remembers the other's last seen position on its own line, so that the other's line travels only
        when the remembered one says full (or empty): once per lap, not once per item.
        The consumer gives slots back every `publish_every` items, and whenever it finds the ring empty; until then
        the producer may see up to publish_every - 1 slots fewer than there are. A producer that is told "full" by
        a running consumer therefore gets its slots at the latest when that consumer runs dry. The producer publishes
        each single item at once, and a bulk in one go.
        Wait-free: no operation has a loop except over the items it moves, so nothing the other side does, or ceases
        to do, delays it.
Wrap    positions wrap at 2**64 and are compared by difference; the difference never exceeds the capacity.
Limits  one producer and one consumer at a time. Any word but SPSC_EMPTY may be sent. capacity and publish_every are
        powers of two, publish_every <= capacity.
After   Lamport's queue; the remembered opposite position as in FastForward's and MCRingBuffer's descendants.
"""

from emu.arch import jit, load_acquire, load_relaxed, store_relaxed, store_release, wrap64
from emu.ring.position import ahead
from emu.shm import line, round_to_line, struct

SPSC_EMPTY = -(1 << 63)  # what spsc_dequeue() returns when there is nothing; the one word that cannot be sent

SPSC = struct(
    "spsc",
    line("producer", "head", "tail_seen"),
    line("consumer", "tail", "taken", "head_seen"),  # taken: its position; tail: the part of it that is published
    line("spsc_init(), before any use", "mask", "publish_mask"),
)


def spsc_words_needed(capacity: int) -> int:
    """Words of a ring of `capacity` slots (a power of two), header included; whole lines."""
    assert capacity > 0 and capacity & (capacity - 1) == 0, f"capacity {capacity} is not a power of two"
    return SPSC.SIZE + round_to_line(capacity)


def spsc_init(seg, ring: int, capacity: int, publish_every: int = 1, start: int = 0) -> None:
    """Make an empty ring at word `ring`, before anybody uses it.

    publish_every: the consumer gives slots back in groups of that many; 1 keeps the capacity exact, 256 is fast.
    start: first position, for tests near the wrap.
    """
    assert capacity > 0 and capacity & (capacity - 1) == 0, f"capacity {capacity} is not a power of two"
    assert publish_every & (publish_every - 1) == 0 and 0 < publish_every <= capacity, (
        f"publish_every {publish_every} is not a power of two up to the capacity {capacity}")
    for word in (SPSC.head, SPSC.tail_seen, SPSC.tail, SPSC.taken, SPSC.head_seen):
        seg[ring + word] = wrap64(start)
    seg[ring + SPSC.mask] = capacity - 1
    seg[ring + SPSC.publish_mask] = publish_every - 1


@jit
def spsc_enqueue(seg, ring, value):
    """Send one word; 1, or 0 when the ring is full. The producer only. Wait-free. REL ring.full, ACQ ring.free."""
    mask = seg[ring + SPSC.mask]
    h = load_relaxed(seg, ring + SPSC.head)
    if ahead(h, seg[ring + SPSC.tail_seen]) > mask:
        t = load_acquire(seg, ring + SPSC.tail)  # ACQ ring.free: tail before slot. Pairs with REL in spsc_dequeue().
        seg[ring + SPSC.tail_seen] = t
        if ahead(h, t) > mask:
            return 0
    seg[ring + SPSC.SIZE + (h & mask)] = value
    # REL ring.full: slot before head. Pairs with ACQ in spsc_dequeue().
    store_release(seg, ring + SPSC.head, wrap64(h + 1))
    return 1


@jit
def spsc_dequeue(seg, ring):
    """The oldest word, or SPSC_EMPTY. The consumer only. Wait-free. ACQ ring.full, REL ring.free."""
    t = load_relaxed(seg, ring + SPSC.taken)
    if t == seg[ring + SPSC.head_seen]:
        h = load_acquire(seg, ring + SPSC.head)  # ACQ ring.full: head before slot. Pairs with REL in spsc_enqueue().
        if t == h:
            if load_relaxed(seg, ring + SPSC.tail) != t:
                store_release(seg, ring + SPSC.tail, t)  # REL ring.free: as below
            return SPSC_EMPTY
        seg[ring + SPSC.head_seen] = h
    value = seg[ring + SPSC.SIZE + (t & seg[ring + SPSC.mask])]
    t = wrap64(t + 1)
    store_relaxed(seg, ring + SPSC.taken, t)
    if t & seg[ring + SPSC.publish_mask] == 0:
        store_release(seg, ring + SPSC.tail, t)  # REL ring.free: slot before tail. Pairs with ACQ in spsc_enqueue().
    return value


@jit
def spsc_enqueue_bulk(seg, ring, src, n):
    """Send up to n words from src on; returns how many went. One publication. The producer only. Wait-free.

    The words at src are the producer's own; they must not overlap the ring.
    """
    size = seg[ring + SPSC.mask] + 1
    h = load_relaxed(seg, ring + SPSC.head)
    room = size - ahead(h, seg[ring + SPSC.tail_seen])
    if room < n:
        t = load_acquire(seg, ring + SPSC.tail)  # ACQ ring.free: tail before slots. Pairs with REL in spsc_dequeue().
        seg[ring + SPSC.tail_seen] = t
        room = size - ahead(h, t)
        if room < n:
            n = room
    if n <= 0:
        return 0
    at = h & (size - 1)
    first = min(n, size - at)  # up to the wrap: no mask per item, so that the copy is vectorised
    slots = ring + SPSC.SIZE
    for i in range(first):
        seg[slots + at + i] = seg[src + i]
    for i in range(n - first):
        seg[slots + i] = seg[src + first + i]
    # REL ring.full: slots before head. Pairs with ACQ in spsc_dequeue_bulk().
    store_release(seg, ring + SPSC.head, wrap64(h + n))
    return n


@jit
def spsc_dequeue_bulk(seg, ring, dst, n):
    """Move up to n of the oldest words to dst on; returns how many came. The consumer only. Wait-free.

    The words at dst are the consumer's own; they must not overlap the ring.
    """
    t = load_relaxed(seg, ring + SPSC.taken)
    there = ahead(seg[ring + SPSC.head_seen], t)
    if there < n:
        # ACQ ring.full: head before slots. Pairs with REL in spsc_enqueue_bulk().
        h = load_acquire(seg, ring + SPSC.head)
        seg[ring + SPSC.head_seen] = h
        there = ahead(h, t)
        if there < n:
            n = there
        if there == 0 and load_relaxed(seg, ring + SPSC.tail) != t:
            store_release(seg, ring + SPSC.tail, t)  # REL ring.free: slots before tail. Pairs as below.
    if n <= 0:
        return 0
    size = seg[ring + SPSC.mask] + 1
    at = t & (size - 1)
    first = min(n, size - at)
    slots = ring + SPSC.SIZE
    for i in range(first):
        seg[dst + i] = seg[slots + at + i]
    for i in range(n - first):
        seg[dst + first + i] = seg[slots + i]
    moved = wrap64(t + n)
    store_relaxed(seg, ring + SPSC.taken, moved)
    if (t ^ moved) & ~seg[ring + SPSC.publish_mask] != 0:  # a multiple of publish_every was passed
        # REL ring.free: slots before tail. Pairs with ACQ in spsc_enqueue_bulk().
        store_release(seg, ring + SPSC.tail, moved)
    return n


@jit
def spsc_count(seg, ring):
    """Words waiting: exact for either end and when both rest, else a figure of the recent past. Anyone. Wait-free."""
    # ACQ ring.full: taken before head, so that no count is negative. Pairs with the look at head in spsc_dequeue().
    t = load_acquire(seg, ring + SPSC.taken)
    return min(ahead(load_relaxed(seg, ring + SPSC.head), t), seg[ring + SPSC.mask] + 1)
