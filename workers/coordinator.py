"""The coordinator: the grace-period kthread, and the hand-over of finished batches to the reclaim daemon."""

from emu.arch import jit
from emu.kvfree import advance_callbacks
from emu.rcu import STEP_ENDED, STEP_STARTED, gp_kthread_step, gp_wake_time
from emu.shm import now_ns
from emu.sync import bell_seen, proc_sleep
from workers.kthread import leave, park, settle, should_stop

IDLE_NS = 1_000_000_000


@jit
def main(seg, me):
    """Drive grace periods until the run stops."""
    settle(seg, me)
    if park(seg, me) != 0:
        while should_stop(seg) == 0:
            seen = bell_seen(seg, me)
            did = gp_kthread_step(seg, me, now_ns(seg))
            advance_callbacks(seg, me)
            if did != STEP_ENDED and did != STEP_STARTED:
                idle = now_ns(seg) + IDLE_NS
                wake = gp_wake_time(seg)
                proc_sleep(seg, me, seen, min(wake, idle) if wake > 0 else idle)
    leave(seg, me)
    return 0
