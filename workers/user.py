"""Another user of memory: takes and gives pages on its schedule while the load runs, then gives everything back."""

from emu.arch import jit
from emu.shm import ABORT, HEADER, PROC, RUN, now_ns, proc_of, run_state
from emu.sync import bell_seen, proc_sleep
from emu.users import user_begin, user_finish, user_of, user_step
from workers.kthread import leave, park, settle, sleep_until_stopped


@jit
def main(seg, me):
    """The user of [[users]] table PROC.index."""
    user = user_of(seg, seg[proc_of(seg, me) + PROC.index])
    settle(seg, me)
    if park(seg, me) != 0:
        user_begin(seg, me, user)
        while run_state(seg) == RUN:
            seen = bell_seen(seg, me)
            now = now_ns(seg)
            wake = seg[HEADER.t_end]
            if now < wake:
                wake = min(user_step(seg, me, user), wake)
            else:
                wake = now + 1_000_000_000  # the load is over; the launcher's word follows
            if wake > now_ns(seg):
                proc_sleep(seg, me, seen, wake)
        if run_state(seg) != ABORT:
            user_finish(seg, me, user)
        sleep_until_stopped(seg, me)
    leave(seg, me)
    return 0
