"""The sequence and the CPUs before time zero."""

from emu.boot.rcu import GP_SEQ_START
from emu.rcu import RCU, RDP, rcu_state, rdp_of, seq_in_progress
from tests.small_machine import small_machine


def test_the_sequence_starts_shortly_before_its_wrap_with_every_cpu_idle():
    machine = small_machine()
    seg, rcu = machine.seg, rcu_state(machine.seg)
    assert seg[rcu + RCU.gp_seq] == seg[rcu + RCU.gp_needed] == GP_SEQ_START == -1200
    assert seq_in_progress(GP_SEQ_START) == 0
    assert [seg[rdp_of(seg, cpu) + RDP.eqs] & 1 for cpu in range(2)] == [0, 0]
