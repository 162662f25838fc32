"""RCU-protected objects: a table of slots per CPU that readers look through and the mutator replaces in turn.

Rule    to update a slot: make a new object, publish it (release), then retire the old one. A reader takes the pointer
        (acquire) inside its section, looks at the object's state word when it comes and before it goes: a freed
        object is poisoned, so what a too early grace period does is seen, not inferred.
Edges   slot.publish   an object's words before its pointer
After   rcutorture's idea (KF 6.2); rcu_assign_pointer, rcu_dereference.
"""

from emu.arch import jit, jit_apart, load_acquire, load_relaxed, store_release
from emu.kvfree import sheaf_alloc
from emu.mm import GFP_KERNEL, LIVE, OBJECT_STATE, kmalloc, object_words, vmalloc
from emu.rcu import rcu_read_lock, rcu_read_unlock
from emu.shm import F_READER_POISON, HEADER, now_ns, raise_fault
from emu.stats import HIST, VM, count, hist_record
from emu.workload.demand import LOAD, load_of
from emu.workload.random import random_below, random_fraction


@jit
def pick_size(seg, load):
    """Index of an object cache, by the load's weights."""
    sizes = seg[load + LOAD.nr_sizes]
    if sizes == 1:
        return 0
    draw = random_fraction(seg, load + LOAD.random)
    index = 0
    while index < sizes - 1 and draw >= seg[load + LOAD.sizes + index]:
        index += 1
    return index


@jit
def new_object(seg, me, cpu, load):
    """A live object of the load's mix, or 0 if memory is out."""
    share = seg[load + LOAD.vmalloc]
    if share > 0 and random_fraction(seg, load + LOAD.random) < share:
        obj = vmalloc(seg, me, cpu, GFP_KERNEL)
    else:
        index = pick_size(seg, load)
        obj = sheaf_alloc(seg, me, cpu, index) if seg[load + LOAD.sheaves] != 0 else 0
        if obj == 0:
            obj = kmalloc(seg, me, cpu, index, GFP_KERNEL)
    if obj == 0:
        count(seg, me, VM.oom_object)
    return obj


@jit
def replace_object(seg, load, obj):
    """Publish `obj` in the next slot; returns the object it replaces, unreachable for new readers, or 0."""
    cursor = seg[load + LOAD.cursor]
    seg[load + LOAD.cursor] = (cursor + 1) & (seg[load + LOAD.live] - 1)
    slot = seg[load + LOAD.slots] + cursor
    old = load_relaxed(seg, slot)
    store_release(seg, slot, obj)  # REL slot.publish: the object before its pointer. Pairs with read_object()
    return old


@jit
def fill_slots(seg, me, cpu, load):
    """Give every slot of a CPU a first object, before time zero. Mutator only."""
    for _ in range(seg[load + LOAD.live]):
        replace_object(seg, load, new_object(seg, me, cpu, load))


@jit
def check_alive(seg, me, cpu, obj):
    """A reader's look at the object it holds."""
    state = load_relaxed(seg, object_words(obj) + OBJECT_STATE)
    if state != LIVE:
        raise_fault(seg, me, F_READER_POISON, obj, state, cpu)
        return 0
    return 1


@jit_apart
def read_object(seg, me, cpu, load):
    """One read section: take an object, hold it for the configured time, look at it on both ends. Mutator only."""
    target = cpu
    if seg[load + LOAD.cross_cpu] != 0:
        target = random_below(seg, load + LOAD.random, seg[HEADER.nr_cpus])
    slots = seg[load_of(seg, target) + LOAD.slots]
    at = slots + random_below(seg, load + LOAD.random, seg[load + LOAD.live])
    length = seg[load + LOAD.reader_ns]
    rcu_read_lock(seg, cpu)
    obj = load_acquire(seg, at)  # ACQ slot.publish: pointer before the object. Pairs with REL in replace_object()
    if obj != 0 and check_alive(seg, me, cpu, obj) != 0:
        if length > 0:
            start = now_ns(seg)
            now = start
            while now - start < length:
                now = now_ns(seg)
            hist_record(seg, me, HIST.reader_ns, now - start)
        check_alive(seg, me, cpu, obj)
    rcu_read_unlock(seg, cpu)
    count(seg, me, VM.reader_sections)
    return 0
