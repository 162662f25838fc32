"""The emulated lockdep: is this lock, or this sleep, legal here? Judged before it blocks.

Holds   LOCKDEP (settings and the first report of each kind), HELD (context and held locks of one process), the lock
        classes with their wait types, and the judges may_acquire(), may_enter(), may_block().
Rule    FREE < SPIN (raw_spinlock_t) < CONFIG (spinlock_t, local_lock: sleeps on RT) < SLEEP (mutex). A lock may be
        taken if its type is at most that of every held lock and of the context: hard interrupt SPIN, softirq CONFIG,
        task no limit, NMI nothing. Static: it is judged the same on every kernel, RT or not. Apart from that: sleeping
        in atomic context (on RT a CONFIG lock sleeps), and a lock whose holder is the asker. A trylock is not asked
        about. Each violation is counted and traced; the first of a kind stays in the segment, with the stack of held
        locks. What becomes of the call says [lockdep] on_violation: a judge returns 0 for "as if there were nothing".
        krc->lock is not noted where it is taken, on the array path, but by what runs under it when it needs a page.
Limits  one held stack per process, MAX_HELD deep; a process that never entered a context is a preemptible task.
After   Linux kernel/locking/lockdep.c: check_wait_context, __might_sleep; include/linux/lockdep_types.h (KF 4.8).
"""

from collections import namedtuple

from emu.arch import cmpxchg_acq_rel, jit, jit_apart, load_acquire, store_release
from emu.shm import MAP, MAP_BASE, PROC, line, now_ns, proc_of, region, struct
from emu.stats import VM, count
from emu.trace import EV, trace_event

# Wait types, and the classes of locks: type << CLASS_SHIFT | number.
FREE, SPIN, CONFIG, SLEEP = 0, 1, 2, 3
WAIT_NAMES = ("free", "raw", "spinlock", "sleeping")
CLASS_SHIFT = 4
LOCK_CLASSES = {  # name as in reports -> (attribute of LC, wait type)
    "caller's raw lock": ("raw", SPIN), "krc->lock": ("krc", SPIN), "pool->lock (raw)": ("pool_raw", SPIN),
    "zone->lock": ("zone", CONFIG), "pcp->lock": ("pcp", CONFIG), "list_lock": ("list", CONFIG),
    "pool->lock": ("pool", CONFIG), "reserve->lock": ("reserve", CONFIG), "barn->lock": ("barn", CONFIG),
    "kswapd_wait": ("kswapd_wait", CONFIG), "cpu_sheaves->lock": ("sheaves", CONFIG),
    "mutex": ("mutex", SLEEP), "might_sleep()": ("sleep", SLEEP),
}
_ids = [wait << CLASS_SHIFT | at for at, (_, wait) in enumerate(LOCK_CLASSES.values())]
LockClasses = namedtuple(
    "LockClasses", "raw krc pool_raw zone pcp list pool reserve barn kswapd_wait sheaves mutex sleep")
assert LockClasses._fields == tuple(attribute for attribute, _ in LOCK_CLASSES.values())
LC = LockClasses(*_ids)
LOCK_CLASS_NAMES = dict(zip(_ids, LOCK_CLASSES, strict=True))

# Contexts of a call. The order is that of schedule words and of [workload.contexts].
CONTEXT_NAMES = ("task", "task_atomic", "softirq", "hardirq", "raw_lock", "zone_lock", "in_allocator", "nmi")
CTX_TASK, CTX_TASK_ATOMIC, CTX_SOFTIRQ, CTX_HARDIRQ, CTX_RAW_LOCK, CTX_ZONE_LOCK, CTX_IN_ALLOCATOR, CTX_NMI = range(8)

INVALID_WAIT_CONTEXT, SLEEP_IN_ATOMIC, SELF_DEADLOCK, CALL_IN_NMI = 0, 1, 2, 3
VIOLATION_NAMES = ("invalid wait context", "sleeping in atomic context", "self-deadlock", "kvfree_rcu() in NMI")
N_VIOLATIONS = 4
ON_VIOLATION = {"auto": 0, "fail": 1, "count": 2}
AUTO, FAIL, COUNT = 0, 1, 2

MAX_HELD = 8
SPLAT = struct(
    "splat",
    line("whoever claims it", "claimed", "written", "time", "process", "cpu", "context", "wanted", "lock", "depth",
         ("classes", MAX_HELD), ("locks", MAX_HELD)),
)
LOCKDEP = struct(
    "lockdep",
    line("boot()", "enabled", "on_violation", "rt"),
    line("whoever claims a splat, by compare-and-swap", ("splats", N_VIOLATIONS * SPLAT.SIZE)),
)
HELD = struct("held_locks", line("the process itself", "context", "depth", ("classes", MAX_HELD), ("locks", MAX_HELD)))


@jit
def lockdep_on(seg):
    """1 if locks are judged. A machine without the region (a part of one, in a test) judges nothing."""
    base = region(seg, MAP.lockdep)
    return 1 if base != 0 and seg[base + LOCKDEP.enabled] != 0 else 0


@jit
def held_of(seg, me):
    """Word offset of process `me`'s context and held locks."""
    return region(seg, MAP.lockdep) + LOCKDEP.SIZE + me * HELD.SIZE


@jit
def context_enter(seg, me, context):
    """Say in which context process `me` runs from now on; returns the one it leaves. The process itself only."""
    if region(seg, MAP.lockdep) == 0:
        return CTX_TASK
    word = held_of(seg, me) + HELD.context
    before = seg[word]
    seg[word] = context
    return before


@jit
def lockdep_acquired(seg, me, lock_class, lock):
    """Note a lock as held by `me`, on top of its stack. `lock`: the word of the lock, 0 where the class is enough."""
    if lockdep_on(seg) != 0:
        held = held_of(seg, me)
        depth = seg[held + HELD.depth]
        if depth < MAX_HELD:
            seg[held + HELD.classes + depth] = lock_class
            seg[held + HELD.locks + depth] = lock
        seg[held + HELD.depth] = depth + 1


@jit
def lockdep_released(seg, me, lock_class, lock):
    """Note that `me` holds the lock no more. Locks may be released in any order."""
    if lockdep_on(seg) != 0:
        held = held_of(seg, me)
        depth = seg[held + HELD.depth]
        at = min(depth, MAX_HELD) - 1
        while at > 0 and (seg[held + HELD.classes + at] != lock_class or seg[held + HELD.locks + at] != lock):
            at -= 1
        for i in range(max(at, 0), min(depth, MAX_HELD) - 1):
            seg[held + HELD.classes + i] = seg[held + HELD.classes + i + 1]
            seg[held + HELD.locks + i] = seg[held + HELD.locks + i + 1]
        seg[held + HELD.depth] = max(depth - 1, 0)


@jit
def holds(seg, me, lock_class, lock):
    """1 if `me` holds this lock, or, with lock 0 on either side, one of this class."""
    held = held_of(seg, me)
    for i in range(min(seg[held + HELD.depth], MAX_HELD)):
        mine = seg[held + HELD.locks + i]
        if seg[held + HELD.classes + i] == lock_class and (lock == 0 or mine == 0 or mine == lock):
            return 1
    return 0


@jit
def context_limit(context):
    """The highest wait type that a context allows."""
    if context == CTX_NMI:
        return FREE
    if context == CTX_HARDIRQ:
        return SPIN
    if context == CTX_SOFTIRQ:
        return CONFIG
    return SLEEP


@jit
def lowest_held(seg, me):
    """The lowest wait type among the locks that `me` holds; SLEEP if it holds none."""
    held = held_of(seg, me)
    lowest = SLEEP
    for i in range(min(seg[held + HELD.depth], MAX_HELD)):
        lowest = min(lowest, seg[held + HELD.classes + i] >> CLASS_SHIFT)
    return lowest


@jit
def in_atomic(seg, me):
    """1 if `me` may not sleep now: by its context, or by a lock that it holds and that does not sleep itself."""
    rt = seg[region(seg, MAP.lockdep) + LOCKDEP.rt]
    context = seg[held_of(seg, me) + HELD.context]
    if context == CTX_TASK_ATOMIC or context == CTX_HARDIRQ or context == CTX_NMI:
        return 1
    if context == CTX_SOFTIRQ and rt == 0:
        return 1
    return 1 if lowest_held(seg, me) < (CONFIG if rt != 0 else SLEEP) else 0


@jit_apart
def lockdep_report(seg, me, cpu, kind, wanted, lock):
    """Count a violation, trace it, and keep the first of its kind. Any process; returns 1 if this was the first."""
    if kind == INVALID_WAIT_CONTEXT:
        count(seg, me, VM.wait_ctx_violation)
    elif kind == SLEEP_IN_ATOMIC:
        count(seg, me, VM.sleep_in_atomic)
    elif kind == SELF_DEADLOCK:
        count(seg, me, VM.self_deadlock)
    else:
        count(seg, me, VM.kvfree_in_nmi)
    trace_event(seg, me, EV.lockdep_splat, kind, wanted)
    if lockdep_on(seg) == 0:
        return 0
    splat = region(seg, MAP.lockdep) + LOCKDEP.splats + kind * SPLAT.SIZE
    if load_acquire(seg, splat + SPLAT.claimed) != 0:  # ACQ lockdep.splat: as in read_splats()
        return 0
    # ACQ lockdep.splat: the claim before the words. Pairs with REL below.
    if cmpxchg_acq_rel(seg, splat + SPLAT.claimed, 0, 1) != 0:
        return 0
    held = held_of(seg, me)
    depth = min(seg[held + HELD.depth], MAX_HELD)
    seg[splat + SPLAT.time] = now_ns(seg)
    seg[splat + SPLAT.process] = me
    seg[splat + SPLAT.cpu] = cpu
    seg[splat + SPLAT.context] = seg[held + HELD.context]
    seg[splat + SPLAT.wanted] = wanted
    seg[splat + SPLAT.lock] = lock
    seg[splat + SPLAT.depth] = depth
    for i in range(depth):
        seg[splat + SPLAT.classes + i] = seg[held + HELD.classes + i]
        seg[splat + SPLAT.locks + i] = seg[held + HELD.locks + i]
    # REL lockdep.splat: the words before the mark. Pairs with ACQ in read_splats().
    store_release(seg, splat + SPLAT.written, 1)
    return 1


@jit_apart
def judge(seg, me, cpu, lock_class, lock):
    """The rules, for a lock that is about to be taken and waited for: 1 go on, 0 the call has to do without."""
    settings = region(seg, MAP.lockdep)
    mode = seg[settings + LOCKDEP.on_violation]
    rt = seg[settings + LOCKDEP.rt]
    if lock_class != LC.sleep and holds(seg, me, lock_class, lock) != 0:
        lockdep_report(seg, me, cpu, SELF_DEADLOCK, lock_class, lock)
        return 1 if mode == COUNT else 0
    verdict = 1
    wait = lock_class >> CLASS_SHIFT
    if wait > min(context_limit(seg[held_of(seg, me) + HELD.context]), lowest_held(seg, me)):
        if lock_class != LC.sleep:  # might_sleep() is no lock: only the second rule is about it
            lockdep_report(seg, me, cpu, INVALID_WAIT_CONTEXT, lock_class, lock)
            if mode == FAIL or (mode == AUTO and rt != 0):
                verdict = 0
    if (wait == SLEEP or (wait == CONFIG and rt != 0)) and in_atomic(seg, me) != 0:
        lockdep_report(seg, me, cpu, SLEEP_IN_ATOMIC, lock_class, lock)
        if mode != COUNT:
            verdict = 0
    return verdict


@jit
def may_acquire(seg, me, lock_class, lock):
    """Ask before waiting for the lock at word `lock`: 1, or 0 if the call must go on without. Any process."""
    if lockdep_on(seg) == 0:
        return 1
    return judge(seg, me, seg[proc_of(seg, me) + PROC.cpu], lock_class, lock)


@jit
def may_enter(seg, me, cpu, lock_class):
    """Ask before anything that takes a lock of this class: 1, or 0 for "as if the source had nothing".

    For locks of a source's own (LC.pool, LC.reserve ...). zone->lock and pcp->lock are judged where mm takes them, so
    whoever calls the page allocator does not ask for those.
    """
    if lockdep_on(seg) == 0:
        return 1
    return judge(seg, me, cpu, lock_class, 0)


@jit
def may_block(seg, me, cpu):
    """might_sleep(): 1 if the caller may sleep here, else 0, counted (unless on_violation = "count": then 1)."""
    if lockdep_on(seg) == 0:
        return 1
    return judge(seg, me, cpu, LC.sleep, 0)


@jit
def may_trylock(seg, me):
    """1 if a spinlock_t may be tried here: always, but for an NMI or hard interrupt of an RT kernel. Never counted."""
    base = region(seg, MAP.lockdep)
    if base == 0 or seg[base + LOCKDEP.rt] == 0:
        return 1
    context = seg[held_of(seg, me) + HELD.context]
    return 0 if context == CTX_NMI or context == CTX_HARDIRQ else 1


def lockdep_words(nr_procs: int) -> int:
    """Words of the region for so many processes."""
    return LOCKDEP.SIZE + nr_procs * HELD.SIZE


def read_splats(seg) -> list[dict]:
    """The first violation of each kind, in words; those being written are left out. Any time, any process."""
    base = seg[MAP_BASE + MAP.lockdep]
    found = []
    for kind in range(N_VIOLATIONS if base else 0):
        splat = base + LOCKDEP.splats + kind * SPLAT.SIZE
        # ACQ lockdep.splat: the mark before the words. Pairs with REL in lockdep_report().
        if load_acquire(seg, splat + SPLAT.written) == 0:
            continue
        wanted = seg[splat + SPLAT.wanted]
        classes = [seg[splat + SPLAT.classes + i] for i in range(seg[splat + SPLAT.depth])]
        found.append({
            "kind": VIOLATION_NAMES[kind], "time_ns": seg[splat + SPLAT.time], "process": seg[splat + SPLAT.process],
            "cpu": seg[splat + SPLAT.cpu], "context": CONTEXT_NAMES[seg[splat + SPLAT.context]],
            "wanted": lock_name(wanted), "wanted_type": lock_type(wanted), "lock": seg[splat + SPLAT.lock],
            "held": [{"name": lock_name(each), "type": lock_type(each), "lock": seg[splat + SPLAT.locks + i]}
                     for i, each in enumerate(classes)],
        })
    return found


def lock_name(lock_class: int) -> str:
    """A class in words."""
    return LOCK_CLASS_NAMES.get(lock_class, f"class {lock_class}")


def lock_type(lock_class: int) -> str:
    """The wait type of a class in words."""
    return WAIT_NAMES[lock_class >> CLASS_SHIFT]
