"""The words every process knows: header, map of regions, process table, run state, fault word, time.

Holds   HEADER at word 0, MAP behind it, PROC records, and the few steps over them.
Rule    run_state only moves forward (BOOT < RUN < DRAIN < STOP), or to ABORT. The first fault wins; it
        stops the run, and the supervisor puts it into words.
"""

from emu.arch import (
    cmpxchg_acq_rel,
    cycles,
    jit,
    load_acquire,
    load_relaxed,
    monotonic_ns,
    mul_shift32,
    store_relaxed,
    store_release,
)
from emu.shm.layout import line, struct

MAGIC = 0x656D755F6B667265  # "emu_kfre"
SEGMENT_VERSION = 1

# run_state, in the order of a run
BOOT, RUN, DRAIN, STOP, ABORT = 0, 1, 2, 3, 4

HEADER = struct(
    "header",
    line("launcher, before any fork", "magic", "version", "layout_hash", "size_words", "launcher_pid",
         "launcher_start", "nr_cpus", "nr_procs", "clock_mult", "clock_cycles", "clock_ns", "verify", "seed"),
    line("launcher; ABORT by anyone", "run_state", "t_zero", "t_end", "noise_ns"),
    line("whoever faults first", "fault", "fault_proc", "fault_time", "fault_a", "fault_b", "fault_c"),
)

# Word offset of each region, written once by boot(). One word per region, so that compiled code reads its base.
MAP = struct(
    "map",
    line("boot()", "procs", "cpus", "rcu", "rcu_nodes", "zones", "pcp", "mem_map", "pageblocks", "caches",
         "slab_cpus", "krc", "cfg_kvfree", "policy", "stock", "static", "pools", "user_words", "rings", "ring_slots",
         "workload", "slots", "schedule", "scratch", "counters", "histograms", "trace", "lockdep", "sheaves", "nodes",
         "cpu_nodes", "cfg_memory",
         "drains",
         "vmscan", "pgdats", "lruvecs", "mms", "app_slots", "kills", "vmscan_tasks", "psi", "shrinker", "monitor"),
    line("boot()", "users", "hogs", "series"),
    line("boot()", "first_pfn", "nr_pages", "nr_zones", "nr_caches", "nr_pcp_cpus", "page_base", "block_base",
         "nr_nodes"),
)
MAP_BASE = HEADER.SIZE

PROC = struct(
    "proc",
    line("launcher", "role", "cpu", "core", "index", "pid", "start_time", "placed", "pcp_cpu",
         "sibling"),
    line("the process itself", "state", "t_ready", "sleeping", "noise_max", "noise_sum",
         "noise_span", "wake_at"),
    line("anyone, by read-modify-write", "bell"),
    line("its place in a queue for a lock: the process itself, its neighbours in the queue", "mcs_next", "mcs_granted"),
    line("anyone, by read-modify-write; read on every allocation", "flags"),
)
# PROC.role
MUTATOR, PAGE_REFILL, COORDINATOR, RECLAIM = 1, 2, 3, 4
KSWAPD, APP, MONITOR = 5, 6, 7
USER, HOG, SAMPLER = 8, 9, 10
ROLE_NAMES = {MUTATOR: "mutator", PAGE_REFILL: "page_refill", COORDINATOR: "coordinator", RECLAIM: "reclaim",
              KSWAPD: "kswapd", APP: "app", MONITOR: "monitor",
              USER: "user", HOG: "hog", SAMPLER: "sampler"}
# PROC.flags: who may eat reserves (KF 3.3). Set and cleared by fetch_add or fetch_or: two writers at a time.
PF_MEMALLOC, PF_OOM_VICTIM, PF_RT = 1, 2, 4  # PF_RT: of a real-time class, set by boot()
# PROC.state
UNBORN, PARKED, RUNNING, DRAINED, EXITED = 0, 1, 2, 3, 4

# HEADER.fault
FAULTS = {
    1: ("page_state", "illegal page transition: pfn {a} is {b:state}, expected {c:state}"),
    2: ("page_owner", "page freed by a stranger: pfn {a} belongs to owner {b}, freed for owner {c}"),
    3: ("object_state", "object {a} freed while not allocated (word {b}): freed twice, or never allocated"),
    4: ("reader_poison", "a reader saw a freed object: object {a}, word {b}, reader of cpu {c}"),
    5: ("early_free", "object {a} reclaimed before its grace period: cookie {b}, gp_seq {c}"),
    6: ("self_deadlock", "lock at word {a} taken again by its holder"),
    7: ("refill_twice", "a second refill was started for cpu {a} while one was in flight"),
    8: ("too_many_batches", "cpu {a} has {b} batches in flight, the limit is {c}"),
    9: ("gp_seq_backwards", "gp_seq moved from {a} to {b}"),
    10: ("gp_early", "grace period {a} ended although cpu {b} had not reported"),
    11: ("watermark", "order-0 request passed at or below its mark: free {a}, mark {b}, zone {c}"),
    12: ("record_range", "bnode {a} claims {b} records, the capacity is {c}"),
    13: ("lock_stolen", "lock at word {a} released by process {b}, held by {c}"),
    14: ("list_broken", "free list of order {a} is broken at pfn {b}"),
    15: ("ring_overflow", "ring at word {a} overflowed its declared capacity {b}"),
    16: ("wrong_channel", "object {a} reached channel {b}"),
    18: ("foreign_page", "source {c} returned page {a}, which it does not own (it is {b})"),
    17: ("write_after_free", "object {a} was written after its free: word {b} is {c}"),
}
FAULT_CODES = {name: code for code, (name, _) in FAULTS.items()}
F_PAGE_STATE, F_PAGE_OWNER, F_OBJECT_STATE, F_READER_POISON = 1, 2, 3, 4
F_EARLY_FREE, F_SELF_DEADLOCK, F_REFILL_TWICE, F_BATCHES = 5, 6, 7, 8
F_GP_BACKWARDS, F_GP_EARLY, F_WATERMARK, F_RECORD_RANGE = 9, 10, 11, 12
F_LOCK_STOLEN, F_LIST_BROKEN, F_RING_OVERFLOW, F_WRONG_CHANNEL = 13, 14, 15, 16
F_WRITE_AFTER_FREE = 17
F_FOREIGN_PAGE = 18


@jit
def region(seg, which):
    """Base of a region; `which` is an offset in MAP. Constant after boot, hence a plain access."""
    return seg[MAP_BASE + which]


@jit
def proc_of(seg, me):
    """Word offset of process `me`'s record."""
    return seg[MAP_BASE + MAP.procs] + me * PROC.SIZE


@jit
def run_state(seg):
    """Where the run stands. ACQ run.state: what the launcher wrote before it. Pairs with REL in set_run_state()."""
    return load_acquire(seg, HEADER.run_state)


@jit
def set_run_state(seg, state):
    """Move the run on; ABORT is final. The launcher alone calls this; it rings every bell afterwards."""
    if load_relaxed(seg, HEADER.run_state) != ABORT:
        store_release(seg, HEADER.run_state, state)  # REL run.state: t_zero, t_end before it. Pairs with run_state().


@jit
def now_ns(seg):
    """Nanoseconds of the run's clock, which follows CLOCK_MONOTONIC (see clock_mult in the header)."""
    mult = seg[HEADER.clock_mult]
    if mult == 0:
        return monotonic_ns()
    return seg[HEADER.clock_ns] + mul_shift32(cycles() - seg[HEADER.clock_cycles], mult)


@jit
def raise_fault(seg, me, code, a, b, c):
    """Record the first fault of the run and stop it. Any process; later faults are dropped. Returns 0."""
    # ACQ fault.words: the claim before the words; -1 reads as "being written". Pairs with REL below.
    if cmpxchg_acq_rel(seg, HEADER.fault, 0, -1) == 0:
        store_relaxed(seg, HEADER.fault_proc, me)
        store_relaxed(seg, HEADER.fault_time, now_ns(seg))
        store_relaxed(seg, HEADER.fault_a, a)
        store_relaxed(seg, HEADER.fault_b, b)
        store_relaxed(seg, HEADER.fault_c, c)
        # REL fault.words: arguments before the code. Pairs with ACQ in read_fault().
        store_release(seg, HEADER.fault, code)
        store_release(seg, HEADER.run_state, ABORT)  # REL run.state: fault before ABORT. Pairs with run_state()
    return 0


@jit
def read_fault(seg):
    """The fault code, 0 if none. ACQ fault.words: code before its arguments. Pairs with REL in raise_fault()."""
    return load_acquire(seg, HEADER.fault)
