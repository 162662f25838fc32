"""The sampler: a row of the time series at every interval, from time zero until the run stops."""

from emu.arch import jit
from emu.sync import bell_seen, proc_sleep
from emu.users import sample_step
from workers.kthread import leave, park, settle, should_stop


@jit
def main(seg, me):
    """Sample until the run stops."""
    settle(seg, me)
    if park(seg, me) != 0:
        while should_stop(seg) == 0:
            seen = bell_seen(seg, me)
            proc_sleep(seg, me, seen, sample_step(seg))
    leave(seg, me)
    return 0
