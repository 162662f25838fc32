"""RCU and CPUs that come and go.

Rule    a CPU that goes offline reports a quiescent state and is idle (eqs) from then on; grace periods that start later
        leave it out. A CPU that comes online has no reader before the coordinator has passed a point between two
        starts of grace periods: one that was starting may have looked at the CPU before it was online, and does not
        wait for its readers.
Edges   rcu.hotplug   online before the ticket; the start of a grace period before the ticket is acknowledged
After   Linux kernel/rcu/tree.c: rcutree_report_cpu_dead, rcutree_report_cpu_starting.
"""

from emu.arch import (
    fetch_add_acq_rel,
    jit,
    jit_apart,
    load_acquire,
    store_release,
)
from emu.rcu.gp_seq import seq_in_progress, seq_number
from emu.rcu.qs import rcu_report_qs
from emu.rcu.state import RCU, gp_seq, rcu_state
from emu.shm import STOP, now_ns, run_state
from emu.sync import bell_seen, proc_ring, proc_sleep

LOOK_AGAIN_NS = 200_000


@jit_apart
def rcu_report_cpu_dead(seg, me, cpu):
    """A quiescent state of a CPU that has just been marked offline. Its mutator, outside readers.

    A grace period that starts just now and still has the CPU in its mask finds it idle by a scan.
    """
    sequence = gp_seq(seg)
    if seq_in_progress(sequence) != 0:
        rcu_report_qs(seg, me, cpu, seq_number(sequence))
    return 0


@jit
def note_hotplug(seg):
    """The coordinator, between two starts of grace periods: CPUs that asked before are seen by the next start."""
    rcu = rcu_state(seg)
    # ACQ rcu.hotplug: ticket before the look at CPU.online. Pairs with REL in rcu_cpu_starting().
    ticket = load_acquire(seg, rcu + RCU.hotplug)
    if ticket != seg[rcu + RCU.hotplug_seen]:
        # REL rcu.hotplug: the last start, gp_seq moved, before the word. Pairs with ACQ in rcu_cpu_starting().
        store_release(seg, rcu + RCU.hotplug_seen, ticket)


@jit_apart
def rcu_cpu_starting(seg, me, cpu):
    """Wait until no grace period that may have left this CPU out is still to start. After it was marked online.

    Its mutator, idle for RCU. 1, or 0 if the run stopped meanwhile.
    """
    rcu = rcu_state(seg)
    ticket = fetch_add_acq_rel(seg, rcu + RCU.hotplug, 1) + 1  # REL rcu.hotplug: online before it. note_hotplug()
    while run_state(seg) < STOP:
        seen = bell_seen(seg, me)
        # ACQ rcu.hotplug: acknowledged before the first reader. Pairs with REL in note_hotplug().
        if load_acquire(seg, rcu + RCU.hotplug_seen) - ticket >= 0:
            return 1
        proc_ring(seg, seg[rcu + RCU.coordinator])
        proc_sleep(seg, me, seen, now_ns(seg) + LOOK_AGAIN_NS)
    return 0
