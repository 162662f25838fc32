"""The refill worker: a kworker of one CPU, or the one unbound worker of all."""

from emu.arch import jit
from emu.policy import refill_step
from emu.shm import HEADER, PROC, now_ns, proc_of
from emu.sync import bell_seen, proc_sleep, worker_pcp_cpu
from workers.kthread import leave, park, settle, should_stop

IDLE_NS = 1_000_000_000


@jit
def main(seg, me):
    """Serve refill requests: of CPU PROC.cpu, or of every CPU when unbound."""
    cpu = seg[proc_of(seg, me) + PROC.cpu]
    first = cpu if cpu >= 0 else 0
    last = cpu + 1 if cpu >= 0 else seg[HEADER.nr_cpus]
    settle(seg, me)
    if park(seg, me) != 0:
        while should_stop(seg) == 0:
            seen = bell_seen(seg, me)
            now = now_ns(seg)
            wake = refill_step(seg, me, worker_pcp_cpu(seg, me), first, last, now)
            proc_sleep(seg, me, seen, wake if wake != 0 else now + IDLE_NS)
    leave(seg, me)
    return 0
