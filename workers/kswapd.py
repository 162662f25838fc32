"""kswapd of one node: reclaims pages when a zone is low; the first one is the OOM reaper too."""

from emu.arch import jit
from emu.shm import PROC, now_ns, proc_of
from emu.sync import bell_seen, proc_sleep
from emu.vmscan import kswapd_begin, kswapd_step, reaper_wake
from workers.kthread import leave, park, settle, should_stop

IDLE_NS = 1_000_000_000


@jit
def main(seg, me):
    """Keep node PROC.index above its HIGH mark."""
    node = seg[proc_of(seg, me) + PROC.index]
    pcp_cpu = seg[proc_of(seg, me) + PROC.pcp_cpu]
    settle(seg, me)
    if park(seg, me) != 0:
        kswapd_begin(seg, me, node)
        doze = 0
        while should_stop(seg) == 0:
            seen = bell_seen(seg, me)
            doze = kswapd_step(seg, me, pcp_cpu, node, doze)
            now = now_ns(seg)
            wake = doze if doze != 0 else now + IDLE_NS
            reap = reaper_wake(seg, me, pcp_cpu, node)
            if reap != 0:
                wake = min(wake, reap)
            if wake > now:
                proc_sleep(seg, me, seen, wake)
    leave(seg, me)
    return 0
