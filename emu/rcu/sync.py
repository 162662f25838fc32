"""synchronize_rcu(): a caller that may sleep waits for a whole grace period.

Rule    the caller's CPU is idle for RCU while it waits. It announces itself, fences, and looks at the
        sequence again before it sleeps; the coordinator moves the sequence, fences, and rings whoever
        announced itself (edge rcu.wait).
After   Linux kernel/rcu/tree.c: synchronize_rcu_normal (KF 4.7).
"""

from emu.arch import NO_DEADLINE, jit_apart, smp_mb, store_relaxed
from emu.rcu.gp import rcu_request_gp
from emu.rcu.qs import rcu_eqs_enter, rcu_eqs_exit
from emu.rcu.state import RDP, get_state_synchronize_rcu, poll_state_synchronize_rcu, rdp_of
from emu.shm import STOP, now_ns, run_state
from emu.stats import HIST, VM, count, hist_record
from emu.sync import bell_seen, proc_sleep


@jit_apart
def synchronize_rcu(seg, me, cpu):
    """Wait for a grace period. Mutator of `cpu`, preemptible, outside readers. 1, or 0 if the run stopped meanwhile."""
    start = now_ns(seg)
    smp_mb()  # MB rcu.snap: what was unpublished before the cookie. Pairs with gp_start()
    cookie = get_state_synchronize_rcu(seg)
    rcu_request_gp(seg, cookie)
    rdp = rdp_of(seg, cpu)
    rcu_eqs_enter(seg, me, cpu)
    store_relaxed(seg, rdp + RDP.gp_wait, 1)
    smp_mb()  # MB rcu.wait: announcement before the look at the sequence. Pairs with gp_cleanup()
    done = 0
    while run_state(seg) < STOP:
        seen = bell_seen(seg, me)
        if poll_state_synchronize_rcu(seg, cookie) != 0:
            done = 1
            break
        proc_sleep(seg, me, seen, NO_DEADLINE)
    store_relaxed(seg, rdp + RDP.gp_wait, 0)
    rcu_eqs_exit(seg, cpu)
    count(seg, me, VM.synchronize_rcu)
    hist_record(seg, me, HIST.sync_wait_ns, now_ns(seg) - start)
    return done
