"""A background application: holds pages, touches them, faults back in what was reclaimed, until it is killed."""

from emu.arch import jit
from emu.shm import PROC, RUN, now_ns, proc_of, run_state
from emu.sync import bell_seen, proc_sleep
from emu.vmscan import app_begin, app_prepare, app_step
from workers.kthread import leave, park, settle, sleep_until_stopped


@jit
def main(seg, me):
    """Application PROC.index."""
    pcp_cpu = seg[proc_of(seg, me) + PROC.pcp_cpu]
    settle(seg, me)
    app_prepare(seg, me, pcp_cpu)
    if park(seg, me) != 0:
        app_begin(seg, me)
        while run_state(seg) == RUN:
            seen = bell_seen(seg, me)
            wake = app_step(seg, me, pcp_cpu)
            if wake == 0:
                break
            if wake > now_ns(seg):
                proc_sleep(seg, me, seen, wake)
        sleep_until_stopped(seg, me)
    leave(seg, me)
    return 0
