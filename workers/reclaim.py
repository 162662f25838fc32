"""The reclaim daemon: runs monitors, frees batches whose grace period is over, gives pages back."""

from emu.arch import jit, store_relaxed
from emu.kvfree import all_reclaimed, reclaim_step
from emu.shm import DRAIN, DRAINED, HEADER, PROC, now_ns, proc_of, run_state
from emu.stats import VM, count
from emu.sync import bell_seen, proc_sleep, worker_pcp_cpu
from workers.kthread import leave, park, settle, should_stop

IDLE_NS = 1_000_000_000


@jit
def main(seg, me):
    """Reclaim for CPU PROC.cpu, or for every CPU when unbound; the barrier at the end of a run."""
    proc = proc_of(seg, me)
    cpu = seg[proc + PROC.cpu]
    first = cpu if cpu >= 0 else 0
    last = cpu + 1 if cpu >= 0 else seg[HEADER.nr_cpus]
    settle(seg, me)
    if park(seg, me) != 0:
        while should_stop(seg) == 0:
            seen = bell_seen(seg, me)
            wake = reclaim_step(seg, me, seg[proc + PROC.index], worker_pcp_cpu(seg, me), first, last)
            if run_state(seg) >= DRAIN and all_reclaimed(seg, first, last) != 0:
                if seg[proc + PROC.state] != DRAINED:
                    count(seg, me, VM.kvfree_rcu_barrier)
                store_relaxed(seg, proc + PROC.state, DRAINED)
            if wake != 0:
                idle = now_ns(seg) + IDLE_NS
                proc_sleep(seg, me, seen, min(wake, idle) if wake > 0 else idle)
    leave(seg, me)
    return 0
