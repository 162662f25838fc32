"""The pressure monitor: lmkd or oomd. Looks at the stall times and kills applications."""

from emu.arch import jit
from emu.shm import RUN, now_ns, run_state
from emu.sync import bell_seen, proc_sleep
from emu.vmscan import monitor_begin, monitor_step
from workers.kthread import leave, park, settle, sleep_until_stopped


@jit
def main(seg, me):
    """Watch until the load ends."""
    settle(seg, me)
    if park(seg, me) != 0:
        monitor_begin(seg, now_ns(seg))
        while run_state(seg) == RUN:
            seen = bell_seen(seg, me)
            proc_sleep(seg, me, seen, monitor_step(seg, me))
        sleep_until_stopped(seg, me)
    leave(seg, me)
    return 0
