"""A hog: burns a core in turns while the load runs."""

from emu.arch import jit
from emu.shm import PROC, proc_of
from emu.users import hog_run
from workers.kthread import leave, park, settle, sleep_until_stopped


@jit
def main(seg, me):
    """The hog number PROC.index."""
    settle(seg, me)
    if park(seg, me) != 0:
        hog_run(seg, me, seg[proc_of(seg, me) + PROC.index])
        sleep_until_stopped(seg, me)
    leave(seg, me)
    return 0
