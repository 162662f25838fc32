"""synchronize_rcu(): returns after a whole grace period, or when the run stops; its CPU blocks nobody meanwhile."""

from emu.rcu import RDP, gp_seq, rcu_eqs_exit, rdp_of, seq_snap, synchronize_rcu
from emu.shm import HEADER, RUN, STOP, set_run_state
from emu.stats import sum_counters
from emu.sync import proc_ring
from tests.crew import booted
from workers import coordinator


def start_coordinator(machine, fork):
    """The coordinator as a process of its own, compiled before the fork."""
    machine.seg[HEADER.run_state] = STOP
    coordinator.main(machine.seg, machine.index("coordinator"))
    machine.seg[HEADER.run_state] = RUN
    return fork(lambda: coordinator.main(machine.seg, machine.index("coordinator")))


def stop(machine, child) -> int:
    set_run_state(machine.seg, STOP)
    proc_ring(machine.seg, machine.index("coordinator"))
    return child.wait()


def test_it_waits_for_a_whole_grace_period(shared_words, fork):
    machine = booted(shared_words, "run.hz=1000", "policy.preset=S19", "rcu.jiffies_till_first_fqs=1")
    child = start_coordinator(machine, fork)
    rcu_eqs_exit(machine.seg, 0)  # CPU 0 is busy: it would hold the grace period up if it did not wait as an idle one
    for _ in range(5):
        cookie = seq_snap(gp_seq(machine.seg))
        assert synchronize_rcu(machine.seg, 0, 0) == 1
        assert gp_seq(machine.seg) - cookie >= 0
    rdp = rdp_of(machine.seg, 0)
    assert (machine.seg[rdp + RDP.gp_wait], machine.seg[rdp + RDP.eqs] & 1) == (0, 1)
    assert stop(machine, child) == 0
    counters = sum_counters(machine.seg)
    assert counters["synchronize_rcu"] == 5
    assert counters["rcu_gp_end"] >= 5
    assert machine.fault == 0


def test_a_stopped_run_lets_it_go_without_a_grace_period(shared_words, fork):
    machine = booted(shared_words, "policy.preset=S19")
    seg = machine.seg
    seg[HEADER.run_state] = STOP
    assert synchronize_rcu(seg, 0, 0) == 0  # compiled by now
    seg[HEADER.run_state] = RUN
    child = fork(lambda: exit_with(synchronize_rcu(seg, 1, 1)))
    child.wait_until_asleep()
    set_run_state(seg, STOP)
    proc_ring(seg, 1)
    assert child.wait() == 0


def exit_with(status: int) -> None:
    assert status == 0
