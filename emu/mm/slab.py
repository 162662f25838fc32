"""Slabs: objects of one size in pages, a private free list per CPU, a shared one per page.

Holds   CACHE (one per object size), SLAB_CPU (a CPU's active page in a cache), kmalloc, kfree and kfree_bulk.
Rule    a CPU allocates from its private list without a lock. Anyone may free: a chain of objects of one page goes
        to the page's shared list with one compare-and-swap on the page's counters word. Pages that are
        neither active nor full stand on the cache's partial list under list_lock; a page whose last object
        is freed goes back to the page allocator at once, but for `min_partial` kept pages.
        Object words: 0 and 1 are its rcu_head (and, while free, word 0 the free list), 2 is LIVE or POISON, the
        rest payload. A freed object is poisoned, every word of it but the link.
Limits  objects of 4..256 words; one mutator per CPU allocates. An object's address is its word offset.
After   Linux mm/slub.c: freelist, inuse and frozen in one word, __slab_free, get_freelist.
"""

from emu.arch import cmpxchg_acq_rel, jit, jit_apart, load_acquire, load_relaxed, store_relaxed
from emu.mm.page import (
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    PAGE,
    PAGE_WORDS,
    PG_SLAB,
    PG_TAKEN,
    address_of,
    page_move,
    page_of,
    page_owner,
    page_state,
    pfn_of,
)
from emu.mm.page_alloc import alloc_page, free_page
from emu.shm import F_OBJECT_STATE, F_PAGE_STATE, F_WRITE_AFTER_FREE, HEADER, MAP, line, raise_fault, region, struct
from emu.stats import VM, count, count_n
from emu.sync import LOCK, rt_spin_lock, rt_spin_unlock

CACHE = struct(
    "kmem_cache",
    line("boot()", "object_words", "objects", "min_partial", "index"),
    line("list_lock", ("lock", LOCK.SIZE)),
    line("list_lock", "partial", "nr_partial"),
)
SLAB_CPU = struct("kmem_cache_cpu", line("the CPU's mutator", "page", "freelist"))

# Words of an object.
RCU_NEXT, RCU_COOKIE, OBJECT_STATE, PAYLOAD = 0, 1, 2, 3
LIVE = 0x4C495645_4C495645  # "LIVELIVE"
POISON = 0x6B6B6B6B_6B6B6B6B  # the kernel's POISON_FREE byte

# counters word of a slab page: inuse in bits 0-15, first free (offset in page + 1) in 16-31, frozen bit 32, tag above
FREE_SHIFT = 16
FIELD = 0xFFFF
FROZEN = 1 << 32
TAG_SHIFT = 33
TAG_MASK = (1 << 30) - 1
NO_OBJECT = 0


@jit
def cache_of(seg, index):
    """Word offset of a cache."""
    return region(seg, MAP.caches) + index * CACHE.SIZE


@jit
def slab_cpu_of(seg, index, cpu):
    """Word offset of a CPU's private part of a cache."""
    return region(seg, MAP.slab_cpus) + (cpu * region(seg, MAP.nr_caches) + index) * SLAB_CPU.SIZE


@jit
def next_counters(word, inuse, freelist, frozen):
    """The counters word that follows `word`: new fields, next tag (so that an old word never fits again)."""
    tag = ((word >> TAG_SHIFT) + 1) & TAG_MASK
    return inuse | freelist << FREE_SHIFT | frozen | tag << TAG_SHIFT


@jit
def poison_object(seg, obj, words):
    """Overwrite a dead object, state word first: a reader that still looks sees it."""
    store_relaxed(seg, obj + OBJECT_STATE, POISON)
    seg[obj + RCU_COOKIE] = POISON
    for i in range(PAYLOAD, words):
        seg[obj + i] = POISON


@jit
def new_slab(seg, me, cpu, cache, gfp):
    """A fresh page cut into poisoned objects, frozen for this CPU; NO_PAGE if the allocator has none."""
    pfn = alloc_page(seg, me, cpu, gfp, MIGRATE_UNMOVABLE)
    if pfn == NO_PAGE:
        return NO_PAGE
    page_move(seg, me, pfn, PG_TAKEN, PG_SLAB, seg[cache + CACHE.index])
    base = address_of(pfn)
    size = seg[cache + CACHE.object_words]
    objects = seg[cache + CACHE.objects]
    for i in range(objects):
        obj = base + i * size
        seg[obj + RCU_NEXT] = (i + 1) * size + 1 if i + 1 < objects else NO_OBJECT
        poison_object(seg, obj, size)
    page = page_of(seg, pfn)
    seg[page + PAGE.cache] = cache
    # Every object counts as in use once the private list has them, as SLUB counts a frozen page.
    store_relaxed(seg, page + PAGE.counters, next_counters(load_relaxed(seg, page + PAGE.counters), objects, 0, FROZEN))
    count(seg, me, VM.slab_page_alloc)
    return pfn


@jit
def partial_add(seg, cache, pfn):
    """Put a page on the partial list. Under list_lock."""
    page = page_of(seg, pfn)
    first = seg[cache + CACHE.partial]
    seg[page + PAGE.next] = first
    seg[page + PAGE.prev] = NO_PAGE
    if first != NO_PAGE:
        seg[page_of(seg, first) + PAGE.prev] = pfn
    seg[cache + CACHE.partial] = pfn
    store_relaxed(seg, cache + CACHE.nr_partial, seg[cache + CACHE.nr_partial] + 1)


@jit
def partial_del(seg, cache, pfn):
    """Take a page off the partial list. Under list_lock."""
    page = page_of(seg, pfn)
    after = seg[page + PAGE.next]
    before = seg[page + PAGE.prev]
    if after != NO_PAGE:
        seg[page_of(seg, after) + PAGE.prev] = before
    if before != NO_PAGE:
        seg[page_of(seg, before) + PAGE.next] = after
    else:
        seg[cache + CACHE.partial] = after
    store_relaxed(seg, cache + CACHE.nr_partial, seg[cache + CACHE.nr_partial] - 1)


@jit
def take_shared(seg, cache, pfn, freeze):
    """Take a page's whole shared free list; returns its first object (offset + 1) or NO_OBJECT.

    freeze FROZEN: the page becomes or stays this CPU's; with an empty list it is let go (full, unfrozen).
    """
    page = page_of(seg, pfn)
    objects = seg[cache + CACHE.objects]
    while True:
        # ACQ slab.counters: word before the objects it lists. Pairs with REL in slab_free_chain().
        word = load_acquire(seg, page + PAGE.counters)
        first = word >> FREE_SHIFT & FIELD
        if first == NO_OBJECT:
            after = next_counters(word, word & FIELD, NO_OBJECT, 0)
        else:
            after = next_counters(word, objects, NO_OBJECT, freeze)
        if cmpxchg_acq_rel(seg, page + PAGE.counters, word, after) == word:  # ACQ slab.counters: as above
            return first


@jit_apart
def refill_freelist(seg, me, cpu, cache, local, gfp):
    """Give a CPU a new private free list: its page's shared list, a partial page's, a new page. First object, or 0."""
    pfn = seg[local + SLAB_CPU.page]
    if pfn != NO_PAGE:
        first = take_shared(seg, cache, pfn, FROZEN)
        if first != NO_OBJECT:
            return address_of(pfn) + first - 1
        seg[local + SLAB_CPU.page] = NO_PAGE  # full and unfrozen: a later free puts it on the partial list
    while load_relaxed(seg, cache + CACHE.partial) != NO_PAGE:
        rt_spin_lock(seg, me, cache + CACHE.lock)
        pfn = seg[cache + CACHE.partial]
        if pfn != NO_PAGE:
            partial_del(seg, cache, pfn)
            first = take_shared(seg, cache, pfn, FROZEN)
            rt_spin_unlock(seg, me, cache + CACHE.lock)
            seg[local + SLAB_CPU.page] = pfn
            return address_of(pfn) + first - 1
        rt_spin_unlock(seg, me, cache + CACHE.lock)
    pfn = new_slab(seg, me, cpu, cache, gfp)
    if pfn == NO_PAGE:
        return NO_OBJECT
    seg[local + SLAB_CPU.page] = pfn
    return address_of(pfn)


@jit
def check_poison(seg, me, obj, words):
    """A free object is poison all through; anything else was written after its free, or is not free at all."""
    state = load_relaxed(seg, obj + OBJECT_STATE)
    if state != POISON:
        raise_fault(seg, me, F_OBJECT_STATE, obj, state, 0)
        return
    for i in range(PAYLOAD, words):
        if seg[obj + i] != POISON:
            raise_fault(seg, me, F_WRITE_AFTER_FREE, obj, i, seg[obj + i])
            return


@jit
def kmalloc(seg, me, cpu, index, gfp):
    """An object of cache `index`, alive and zeroed, or 0. The mutator of `cpu` only."""
    local = slab_cpu_of(seg, index, cpu)
    cache = cache_of(seg, index)
    obj = seg[local + SLAB_CPU.freelist]
    if obj == NO_OBJECT:
        obj = refill_freelist(seg, me, cpu, cache, local, gfp)
        if obj == NO_OBJECT:
            count(seg, me, VM.kmalloc_fail)
            return NO_OBJECT
    after = seg[obj + RCU_NEXT]
    seg[local + SLAB_CPU.freelist] = (obj & ~(PAGE_WORDS - 1)) + after - 1 if after != NO_OBJECT else NO_OBJECT
    if seg[HEADER.verify] != 0:
        check_poison(seg, me, obj, seg[cache + CACHE.object_words])
    seg[obj + RCU_NEXT] = 0
    seg[obj + RCU_COOKIE] = 0
    store_relaxed(seg, obj + OBJECT_STATE, LIVE)
    for i in range(PAYLOAD, seg[cache + CACHE.object_words]):
        seg[obj + i] = 0
    count(seg, me, VM.kmalloc)
    return obj


@jit
def revive_object(seg, me, obj, words):
    """Make a dead object that somebody kept alive and zeroed again, as kmalloc() hands it out. Its keeper only."""
    if seg[HEADER.verify] != 0:
        check_poison(seg, me, obj, words)
    seg[obj + RCU_NEXT] = 0
    seg[obj + RCU_COOKIE] = 0
    store_relaxed(seg, obj + OBJECT_STATE, LIVE)
    for i in range(PAYLOAD, words):
        seg[obj + i] = 0
    count(seg, me, VM.kmalloc)


@jit
def kill_object(seg, me, obj, words):
    """Poison an object that is being freed; a second free of it faults. 1, or 0 after a fault."""
    state = load_relaxed(seg, obj + OBJECT_STATE)
    if state != LIVE:
        raise_fault(seg, me, F_OBJECT_STATE, obj, state, 0)
        return 0
    poison_object(seg, obj, words)
    return 1


@jit_apart
def slab_free_chain(seg, me, pcp_cpu, pfn, head, tail, objects):
    """Free a chain of `objects` dead objects of one page, linked from head to tail by offset. Anyone."""
    page = page_of(seg, pfn)
    cache = seg[page + PAGE.cache]
    base = address_of(pfn)
    locked = 0
    while True:
        word = load_relaxed(seg, page + PAGE.counters)
        first = word >> FREE_SHIFT & FIELD
        inuse = (word & FIELD) - objects
        frozen = word & FROZEN
        # A page that changes lists (full to partial, partial to empty) changes under list_lock.
        if frozen == 0 and (first == NO_OBJECT or inuse == 0) and locked == 0:
            rt_spin_lock(seg, me, cache + CACHE.lock)
            locked = 1
            continue
        seg[tail + RCU_NEXT] = first
        after = next_counters(word, inuse, head - base + 1, frozen)
        # REL slab.counters: links and poison before the word that lists them. Pairs with ACQ in take_shared().
        if cmpxchg_acq_rel(seg, page + PAGE.counters, word, after) == word:
            break
    if locked == 0:
        return 0
    discard = 0
    if frozen == 0:
        if inuse == 0 and seg[cache + CACHE.nr_partial] >= seg[cache + CACHE.min_partial]:
            if first != NO_OBJECT:
                partial_del(seg, cache, pfn)
            discard = 1
        elif first == NO_OBJECT:
            partial_add(seg, cache, pfn)
    rt_spin_unlock(seg, me, cache + CACHE.lock)
    if discard != 0:
        count(seg, me, VM.slab_page_free)
        free_page(seg, me, pcp_cpu, pfn, PG_SLAB, seg[cache + CACHE.index])
    return 0


@jit
def is_slab_object(seg, me, obj):
    """1 if `obj` lies in a slab page; a pointer into any other page faults."""
    pfn = pfn_of(obj)
    state = page_state(seg, pfn)
    if state != PG_SLAB:
        raise_fault(seg, me, F_PAGE_STATE, pfn, state, PG_SLAB)
        return 0
    return 1


@jit
def kfree(seg, me, pcp_cpu, obj):
    """Free one object. Anyone; frees its page too when it was the last."""
    if is_slab_object(seg, me, obj) == 0:
        return
    pfn = pfn_of(obj)
    words = seg[seg[page_of(seg, pfn) + PAGE.cache] + CACHE.object_words]
    if kill_object(seg, me, obj, words) != 0:
        slab_free_chain(seg, me, pcp_cpu, pfn, obj, obj, 1)


@jit
def kfree_bulk(seg, me, pcp_cpu, records, n):
    """Free the `n` objects whose addresses stand in words records..: one update of a page per run of its objects."""
    i = 0
    while i < n:
        head = seg[records + i]
        if is_slab_object(seg, me, head) == 0:
            return
        pfn = pfn_of(head)
        base = address_of(pfn)
        words = seg[seg[page_of(seg, pfn) + PAGE.cache] + CACHE.object_words]
        tail = head
        run = 0
        obj = head
        while True:
            if kill_object(seg, me, obj, words) == 0:
                return
            if run != 0:
                seg[obj + RCU_NEXT] = head - base + 1
                head = obj
            run += 1
            i += 1
            if i >= n:
                break
            obj = seg[records + i]
            if pfn_of(obj) != pfn:
                break
        slab_free_chain(seg, me, pcp_cpu, pfn, head, tail, run)


@jit
def slab_in_use(seg, pfn):
    """Objects of a slab page that are neither on its shared list nor free: live, queued or on a CPU's private list."""
    return load_relaxed(seg, page_of(seg, pfn) + PAGE.counters) & FIELD


@jit_apart
def slab_flush_cpu(seg, me, pcp_cpu, index, cpu):
    """Give a CPU's private free list and active page back, so that the ledger can count. Its mutator only."""
    local = slab_cpu_of(seg, index, cpu)
    pfn = seg[local + SLAB_CPU.page]
    obj = seg[local + SLAB_CPU.freelist]
    seg[local + SLAB_CPU.freelist] = NO_OBJECT
    seg[local + SLAB_CPU.page] = NO_PAGE
    if pfn == NO_PAGE:
        return 0
    cache = cache_of(seg, index)
    page = page_of(seg, pfn)
    n = 0
    tail = obj
    at = obj
    base = address_of(pfn)
    while at != NO_OBJECT:
        tail = at
        n += 1
        after = seg[at + RCU_NEXT]
        at = base + after - 1 if after != NO_OBJECT else NO_OBJECT
    # While frozen the page is ours alone to unfreeze; frees by others only add to its shared list.
    rt_spin_lock(seg, me, cache + CACHE.lock)
    while True:
        word = load_acquire(seg, page + PAGE.counters)  # ACQ slab.counters: as in take_shared()
        first = word >> FREE_SHIFT & FIELD
        inuse = (word & FIELD) - n
        if n != 0:
            seg[tail + RCU_NEXT] = first
            first = obj - base + 1
        # REL slab.counters: the private list's links before the word. Pairs with ACQ in take_shared().
        if cmpxchg_acq_rel(seg, page + PAGE.counters, word, next_counters(word, inuse, first, 0)) == word:
            break
    if inuse != 0 and first != NO_OBJECT:
        partial_add(seg, cache, pfn)
    rt_spin_unlock(seg, me, cache + CACHE.lock)
    if inuse == 0:
        count_n(seg, me, VM.slab_page_free, 1)
        free_page(seg, me, pcp_cpu, pfn, PG_SLAB, page_owner(seg, pfn))
    return 0
