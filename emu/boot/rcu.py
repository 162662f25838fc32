"""RCU: the grace-period state, the CPUs' records, the tree of nodes."""

from emu.arch import Words
from emu.boot.plan import Plan
from emu.rcu import LEAF_FANOUT, RCU, RDP, RNP
from emu.shm import COORDINATOR

GP_SEQ_START = -300 * 4  # as the kernel starts, so that a wrap of the counter is met early


def leaves(cpus: int) -> int:
    """Leaf nodes above so many CPUs."""
    return -(-cpus // LEAF_FANOUT)


def rcu_regions(cpus: int) -> dict[str, int]:
    """Words of the regions of RCU for so many CPUs: the tree has one root above its leaves."""
    return {
        "rcu": RCU.SIZE + cpus * RDP.SIZE,
        "rcu_nodes": (leaves(cpus) + 1) * RNP.SIZE,
    }


def boot_rcu(seg: Words, plan: Plan) -> None:
    """The grace-period state and the tree."""
    resolved = plan.resolved
    rcu = plan.offsets["rcu"]
    seg[rcu + RCU.gp_seq] = seg[rcu + RCU.gp_needed] = GP_SEQ_START
    seg[rcu + RCU.jiffy_ns] = resolved.run.jiffy_ns
    seg[rcu + RCU.first_fqs] = resolved.rcu.jiffies_till_first_fqs
    seg[rcu + RCU.next_fqs] = resolved.rcu.jiffies_till_next_fqs
    seg[rcu + RCU.stall_ns] = resolved.rcu.stall_timeout_ns
    seg[rcu + RCU.others_ns] = resolved.rcu.others_ns
    seg[rcu + RCU.coordinator] = plan.of_kind(COORDINATOR)[0].index
    seg[rcu + RCU.nr_leaves] = leaves(plan.cpus)
    # Every CPU starts idle (eqs even), until its mutator begins.
