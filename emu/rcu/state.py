"""The words of RCU: global state, one record per CPU, the tree of masks; and jiffies.

Rule    gp_seq has one writer, the coordinator. A CPU's record is its mutator's, but for what the
        coordinator notes while it scans. A node's mask word carries the grace period's number beside
        the bits, so that a late report of the last one cannot clear a bit of the next.
Limits  leaves of 16 CPUs under one root: 512 CPUs. Up to 16 CPUs the leaf is the root.
After   Linux kernel/rcu/tree.h (rcu_state, rcu_data, rcu_node), KF 4.3, 4.5.
"""

from emu.arch import jit, load_acquire, load_relaxed
from emu.rcu.gp_seq import seq_done, seq_snap
from emu.shm import HEADER, MAP, line, region, struct

RCU = struct(
    "rcu_state",
    line("coordinator", "gp_seq", "gp_start_ns", "gp_phase", "fqs_due", "scans", "stall_due", "stall_cpu",
         "others_due"),
    line("anyone, upwards only", "gp_needed", "needed_ns"),
    line("CPUs that come online: a ticket each", "hotplug"),
    line("coordinator", "hotplug_seen"),
    line("boot()", "jiffy_ns", "first_fqs", "next_fqs", "stall_ns", "coordinator", "nr_leaves", "others_ns"),
)
RDP = struct(
    "rcu_data",
    line("mutator", "nesting", "eqs", "noticed", "need_qs", "next_tick"),
    line("coordinator", "eqs_snap", "gp_in"),
    line("whoever reports for the CPU", "qs_gp"),
    line("mutator sets, coordinator reads", "gp_wait"),
)
RNP = struct("rcu_node", line("anyone, by compare-and-swap", "qsmask"))

LEAF_FANOUT = 16
MASK_BITS = 32
MASK = (1 << MASK_BITS) - 1
MAX_CPUS = LEAF_FANOUT * MASK_BITS


@jit
def rcu_state(seg):
    """Word offset of the global record."""
    return region(seg, MAP.rcu)


@jit
def rdp_of(seg, cpu):
    """Word offset of a CPU's record."""
    return region(seg, MAP.rcu) + RCU.SIZE + cpu * RDP.SIZE


@jit
def leaf_of(seg, leaf):
    """Word offset of a leaf; leaf number nr_leaves is the root above more than one leaf."""
    return region(seg, MAP.rcu_nodes) + leaf * RNP.SIZE


@jit
def gp_seq(seg):
    """The grace-period sequence. ACQ rcu.gp: sequence before what is freed by it. Pairs with move_gp_seq()."""
    return load_acquire(seg, region(seg, MAP.rcu) + RCU.gp_seq)


@jit
def get_state_synchronize_rcu(seg):
    """A cookie for what the caller has unpublished before. The caller has the fence between the two (edge rcu.snap)."""
    return seq_snap(gp_seq(seg))


@jit
def poll_state_synchronize_rcu(seg, cookie):
    """1 if a whole grace period has passed since the cookie was taken. Never starts one."""
    return seq_done(gp_seq(seg), cookie)


@jit
def timer_expiry(seg, now, jiffies):
    """When a timer of so many jiffies fires: at a tick, never early, so after more than `jiffies` and at most one more.

    The kernel's timer wheel: the present jiffy has begun already and does not count. 0 jiffies: at once.
    """
    if jiffies == 0:
        return now
    jiffy = seg[region(seg, MAP.rcu) + RCU.jiffy_ns]
    zero = load_relaxed(seg, HEADER.t_zero)
    return zero + ((now - zero) // jiffy + jiffies + 1) * jiffy


@jit
def next_tick_after(seg, now):
    """The first tick after `now`; ticks of all CPUs coincide."""
    jiffy = seg[region(seg, MAP.rcu) + RCU.jiffy_ns]
    zero = load_relaxed(seg, HEADER.t_zero)
    return zero + ((now - zero) // jiffy + 1) * jiffy
