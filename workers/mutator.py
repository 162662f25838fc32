"""One emulated CPU: allocates, publishes, retires and reads until the run drains."""

from emu.arch import jit
from emu.shm import PROC, proc_of
from emu.workload import FINISHED, mutator_begin, mutator_finish, mutator_prepare, mutator_step
from workers.kthread import leave, park, settle, sleep_until_stopped


@jit
def main(seg, me):
    """The mutator of CPU PROC.cpu."""
    cpu = seg[proc_of(seg, me) + PROC.cpu]
    settle(seg, me)
    mutator_prepare(seg, me, cpu)
    if park(seg, me) != 0:
        mutator_begin(seg, me, cpu)
        while mutator_step(seg, me, cpu) != FINISHED:
            pass
        mutator_finish(seg, me, cpu)
        sleep_until_stopped(seg, me)
    leave(seg, me)
    return 0
