"""Sheaves: objects of a cache gathered in arrays of their own, handed to a grace period by the array, and used again.

Holds   SHEAF_Q (a CPU's way to its reclaim daemon), PCS (main, spare and rcu_free of a CPU and cache),
        kfree_rcu_sheaf(), sheaf_alloc(), rcu_free_sheaves().
Rule    kfree_rcu() puts the object into the CPU's rcu_free sheaf; a full one takes a cookie and goes to the reclaim
        daemon, which looks at ticks, as callbacks are run from the tick's softirq. Grace period over, the sheaf goes to
        the barn whole, its objects dead: an allocation takes them from there through the main sheaf. Where the
        barn has MAX_FULL already the objects go back to their slabs. Whatever fails takes the old path: the caller
        goes on to kvfree_call_rcu(). Not for vmalloc, objects of another node, or PREEMPT_RT.
        main, spare and rcu_free are the mutator's alone (local_trylock_t: `busy` while a call comes from within).
        An object waits for the last one of its sheaf.
Limits  a sheaf is an object of a slab cache of its own (GFP_NOWAIT). A main sheaf is refilled from the barn only; with
        an empty barn the slab's own per-CPU list serves. Frees outside RCU do not fill sheaves.
Edges   sheaf.arm   due time before the look at the daemon's wake time, both ways
After   Linux mm/slub.c v6.18: __kfree_rcu_sheaf, rcu_free_sheaf, __pcs_replace_empty_main, barn_put_full_sheaf
        (KF 2.11).
"""

from emu.arch import jit, jit_apart, load_relaxed, smp_mb, store_relaxed
from emu.kvfree.barn import (
    BARN,
    S_CACHE,
    S_COOKIE,
    S_CPU,
    S_OBJECTS,
    S_SIZE,
    SHEAVES,
    barn_fill,
    barn_of,
    barn_put_empty,
    barn_reserve,
    barn_take,
)
from emu.kvfree.krc import KRC, krc_of
from emu.mm import (
    CACHE,
    GFP_NOWAIT,
    PAGE,
    RCU_COOKIE,
    ZONE,
    cache_of,
    is_vmalloc,
    kfree_bulk,
    kill_object,
    kmalloc,
    node_of_cpu,
    page_of,
    pfn_of,
    revive_object,
    zone_index_of,
    zone_of,
)
from emu.rcu import (
    get_state_synchronize_rcu,
    gp_seq,
    next_tick_after,
    poll_state_synchronize_rcu,
    rcu_request_gp,
    timer_expiry,
)
from emu.ring import SPSC_EMPTY, spsc_dequeue, spsc_enqueue
from emu.shm import (
    DRAIN,
    F_EARLY_FREE,
    HEADER,
    MAP,
    PROC,
    line,
    now_ns,
    proc_of,
    raise_fault,
    region,
    run_state,
    struct,
)
from emu.stats import VM, count, count_n
from emu.sync import ring_or_defer

SHEAVES_PER_STEP = 64  # bound on the work of one reclaim step

PCS = struct("slub_percpu_sheaves", line("mutator", "main", "spare", "rcu_free"))
SHEAF_Q = struct(
    "sheaf_queue",
    line("mutator", "queued", "busy"),
    line("boot()", "ring"),
    line("mutator arms, reclaim daemon clears", "due"),
    line("reclaim daemon", "freed", "held"),
)


@jit
def queue_of(seg, cpu):
    """Word offset of a CPU's way to its reclaim daemon."""
    return seg[region(seg, MAP.sheaves) + SHEAVES.queues] + cpu * SHEAF_Q.SIZE


@jit
def pcs_of(seg, cpu, index):
    """Word offset of a CPU's sheaves of a cache."""
    sheaves = region(seg, MAP.sheaves)
    return seg[sheaves + SHEAVES.pcs] + (cpu * seg[sheaves + SHEAVES.nr_caches] + index) * PCS.SIZE


@jit
def sheaf_cache(seg, obj):
    """Index of the object's cache if that has sheaves, else -1."""
    index = seg[seg[page_of(seg, pfn_of(obj)) + PAGE.cache] + CACHE.index]
    return index if seg[region(seg, MAP.sheaves) + SHEAVES.opted + index] != 0 else -1


@jit
def node_of_object(seg, obj):
    """Node whose memory an object is in."""
    return seg[zone_of(seg, zone_index_of(seg, pfn_of(obj))) + ZONE.node]


@jit
def empty_sheaf(seg, me, cpu, pcs, index):
    """An empty sheaf for rcu_free: the spare, one of the barn, a new one (GFP_NOWAIT); 0 if there is none. Mutator."""
    sheaf = seg[pcs + PCS.spare]
    if sheaf != 0 and seg[sheaf + S_SIZE] == 0:
        seg[pcs + PCS.spare] = 0
    else:
        sheaf = barn_take(seg, me, barn_of(seg, node_of_cpu(seg, cpu), index), BARN.empty, BARN.nr_empty)
    if sheaf == 0:
        sheaf = kmalloc(seg, me, cpu, seg[region(seg, MAP.sheaves) + SHEAVES.cache], GFP_NOWAIT)
        if sheaf == 0:
            return 0
        count(seg, me, VM.sheaf_alloc)
    seg[sheaf + S_CACHE] = index
    seg[sheaf + S_CPU] = cpu
    return sheaf


# --- the way in: kfree_rcu() -----------------------------------------------------------------------------


@jit
def submit(seg, me, cpu, sheaf):
    """call_rcu() for a sheaf: 1, or 0 if the CPU's queue is full. Mutator only."""
    queue = queue_of(seg, cpu)
    smp_mb()  # MB rcu.snap: what its objects' callers unpublished before the cookie. Pairs with gp_start()
    cookie = get_state_synchronize_rcu(seg)
    seg[sheaf + S_COOKIE] = cookie
    if spsc_enqueue(seg, seg[queue + SHEAF_Q.ring], sheaf) == 0:
        return 0
    rcu_request_gp(seg, cookie)
    smp_mb()  # MB sheaf.arm: the sheaf before the look at the due time. Pairs with rcu_free_sheaves()
    if load_relaxed(seg, queue + SHEAF_Q.due) == 0:
        due = timer_expiry(seg, now_ns(seg), 1)
        store_relaxed(seg, queue + SHEAF_Q.due, due)
        smp_mb()  # MB monitor.arm: due time before the daemon's wake time. Pairs with reclaim_step()
        daemon = seg[krc_of(seg, cpu) + KRC.reclaim]
        if due < load_relaxed(seg, proc_of(seg, daemon) + PROC.wake_at):
            ring_or_defer(seg, me, cpu, daemon)
    return 1


@jit_apart
def kfree_rcu_sheaf(seg, me, cpu, obj):
    """Put a retired object into the CPU's rcu_free sheaf; 0 if it has to take the old path. Mutator of `cpu`."""
    if is_vmalloc(obj) != 0:
        return 0
    index = sheaf_cache(seg, obj)
    if index < 0 or node_of_object(seg, obj) != node_of_cpu(seg, cpu):
        return 0
    queue = queue_of(seg, cpu)
    pcs = pcs_of(seg, cpu, index)
    sheaf = seg[pcs + PCS.rcu_free]
    capacity = seg[region(seg, MAP.sheaves) + SHEAVES.capacity]
    if seg[queue + SHEAF_Q.busy] != 0:
        sheaf = 0
    elif sheaf == 0 or (seg[sheaf + S_SIZE] >= capacity and submit(seg, me, cpu, sheaf) != 0):
        # None yet; or it was full when the queue had no room for it, and has been handed over now.
        sheaf = empty_sheaf(seg, me, cpu, pcs, index)
        seg[pcs + PCS.rcu_free] = sheaf
    if sheaf == 0 or seg[sheaf + S_SIZE] >= capacity:
        count(seg, me, VM.free_rcu_sheaf_fail)
        return 0
    size = seg[sheaf + S_SIZE] + 1
    seg[sheaf + S_OBJECTS + size - 1] = obj
    seg[sheaf + S_SIZE] = size
    store_relaxed(seg, queue + SHEAF_Q.queued, seg[queue + SHEAF_Q.queued] + 1)
    if seg[HEADER.verify] != 0:
        seg[obj + RCU_COOKIE] = get_state_synchronize_rcu(seg)
    count(seg, me, VM.free_rcu_sheaf)
    count(seg, me, VM.kvfree_calls)
    if size >= capacity and submit(seg, me, cpu, sheaf) != 0:
        seg[pcs + PCS.rcu_free] = 0
    return 1


@jit
def sheaves_busy(seg, cpu, busy):
    """Say that the CPU's sheaves are locked by what a call comes from within (1), or no more. Mutator only."""
    if seg[region(seg, MAP.sheaves) + SHEAVES.on] != 0:
        seg[queue_of(seg, cpu) + SHEAF_Q.busy] = busy


@jit_apart
def flush_rcu_sheaves(seg, me, cpu):
    """kvfree_rcu_barrier()'s first step on a CPU: hand over what stands in its rcu_free sheaves. Mutator only.

    Returns the sheaves that found no room; call again.
    """
    left = 0
    sheaves = region(seg, MAP.sheaves)
    if seg[sheaves + SHEAVES.on] == 0:
        return 0
    for index in range(seg[sheaves + SHEAVES.nr_caches]):
        pcs = pcs_of(seg, cpu, index)
        sheaf = seg[pcs + PCS.rcu_free]
        if sheaf != 0:
            if submit(seg, me, cpu, sheaf) != 0:
                seg[pcs + PCS.rcu_free] = 0
            else:
                left += 1
    return left


# --- after the grace period ------------------------------------------------------------------------------


@jit
def check_sheaf(seg, me, sheaf, size):
    """Invariant 2: every object's own cookie has elapsed."""
    for i in range(size):
        obj = seg[sheaf + S_OBJECTS + i]
        cookie = seg[obj + RCU_COOKIE]
        if poll_state_synchronize_rcu(seg, cookie) == 0:
            raise_fault(seg, me, F_EARLY_FREE, obj, cookie, gp_seq(seg))


@jit_apart
def rcu_free_sheaf(seg, me, pcp_cpu, cpu, sheaf):
    """The callback: a full sheaf to the barn, or its objects to their slabs. Reclaim daemon; returns the objects."""
    size = seg[sheaf + S_SIZE]
    index = seg[sheaf + S_CACHE]
    barn = barn_of(seg, node_of_cpu(seg, cpu), index)
    if seg[HEADER.verify] != 0:
        check_sheaf(seg, me, sheaf, size)
    if size == seg[region(seg, MAP.sheaves) + SHEAVES.capacity] and barn_reserve(seg, me, barn) != 0:
        words = seg[cache_of(seg, index) + CACHE.object_words]
        for i in range(size):
            kill_object(seg, me, seg[sheaf + S_OBJECTS + i], words)
        barn_fill(seg, me, barn, sheaf)
        count(seg, me, VM.barn_put)
    else:
        kfree_bulk(seg, me, pcp_cpu, sheaf + S_OBJECTS, size)
        seg[sheaf + S_SIZE] = 0
        count_n(seg, me, VM.sheaf_flush, size)
        barn_put_empty(seg, me, pcp_cpu, barn, sheaf)
    count_n(seg, me, VM.kvfree_freed_sheaf, size)
    return size


@jit_apart
def rcu_free_sheaves(seg, me, pcp_cpu, cpu, now):
    """Work off a CPU's sheaves whose grace period is over. When to look again: 0 when rung, `now` at once. Daemon only.

    Looks when the due time has come, or at once when the run drains.
    """
    queue = queue_of(seg, cpu)
    due = load_relaxed(seg, queue + SHEAF_Q.due)
    if due == 0 or (due > now and run_state(seg) < DRAIN):
        return due
    store_relaxed(seg, queue + SHEAF_Q.due, 0)
    smp_mb()  # MB sheaf.arm: the due time before the look at the queue. Pairs with submit()
    for _ in range(SHEAVES_PER_STEP):
        sheaf = seg[queue + SHEAF_Q.held]
        if sheaf == 0:
            sheaf = spsc_dequeue(seg, seg[queue + SHEAF_Q.ring])
            if sheaf == SPSC_EMPTY:
                return 0
            seg[queue + SHEAF_Q.held] = sheaf
        if poll_state_synchronize_rcu(seg, seg[sheaf + S_COOKIE]) == 0:
            due = next_tick_after(seg, now)
            store_relaxed(seg, queue + SHEAF_Q.due, due)
            return due
        seg[queue + SHEAF_Q.held] = 0
        freed = rcu_free_sheaf(seg, me, pcp_cpu, cpu, sheaf)
        store_relaxed(seg, queue + SHEAF_Q.freed, seg[queue + SHEAF_Q.freed] + freed)
    store_relaxed(seg, queue + SHEAF_Q.due, now)
    return now


@jit
def objects_in_sheaves(seg, cpu):
    """Objects of a CPU that wait in sheaves for their grace period: exact once the load has stopped."""
    if seg[region(seg, MAP.sheaves) + SHEAVES.on] == 0:
        return 0
    queue = queue_of(seg, cpu)
    return load_relaxed(seg, queue + SHEAF_Q.queued) - load_relaxed(seg, queue + SHEAF_Q.freed)


# --- the way out: kmalloc() ------------------------------------------------------------------------------


@jit_apart
def replace_empty_main(seg, me, cpu, pcs, index):
    """A main sheaf with objects: the spare, or a full one of the barn; 0 if neither. Mutator only."""
    main = seg[pcs + PCS.main]
    spare = seg[pcs + PCS.spare]
    barn = barn_of(seg, node_of_cpu(seg, cpu), index)
    if spare != 0 and seg[spare + S_SIZE] != 0:
        full = spare
        seg[pcs + PCS.spare] = main
        seg[pcs + PCS.main] = full
        return full
    full = barn_take(seg, me, barn, BARN.full, BARN.nr_full)
    if full == 0:
        return 0
    count(seg, me, VM.barn_get)
    seg[pcs + PCS.main] = full
    if main != 0:
        if spare == 0:
            seg[pcs + PCS.spare] = main
        else:
            barn_put_empty(seg, me, cpu, barn, main)
    return full


@jit_apart
def sheaf_alloc(seg, me, cpu, index):
    """An object from the CPU's main sheaf, alive and zeroed; 0 if the slab has to be asked. Mutator of `cpu`."""
    if seg[region(seg, MAP.sheaves) + SHEAVES.opted + index] == 0:
        return 0
    pcs = pcs_of(seg, cpu, index)
    main = seg[pcs + PCS.main]
    if main == 0 or seg[main + S_SIZE] == 0:
        main = replace_empty_main(seg, me, cpu, pcs, index)
        if main == 0:
            return 0
    size = seg[main + S_SIZE] - 1
    seg[main + S_SIZE] = size
    obj = seg[main + S_OBJECTS + size]
    revive_object(seg, me, obj, seg[cache_of(seg, index) + CACHE.object_words])
    count(seg, me, VM.alloc_cpu_sheaf)
    return obj
