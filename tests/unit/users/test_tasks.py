"""Users that stand for tasks of an emulated CPU: let in where its mutator may be preempted, and only there."""

from emu.shm import PROC
from emu.sync import preempt_disable, preempt_enable
from emu.sync.preempt import CPU
from tests.small_machine import small_machine


def test_every_user_of_a_cpu_is_rung_at_the_end_of_a_section_that_was_asked_for():
    machine = small_machine('users=[{kind="victim"}, {kind="victim", cpu=1}, {kind="cache"}, {kind="cache", cpu=-1}]')
    seg, plan = machine.seg, machine.plan
    bells = [plan.proc(machine.index(f"user/{i}")) + PROC.bell for i in range(4)]
    before = [seg[bell] for bell in bells]
    preempt_disable(seg, 0)
    seg[plan.cpu(0) + CPU.need_resched] = 1
    preempt_enable(seg, machine.index("mutator/0"), 0)
    assert [seg[bell] - was for bell, was in zip(bells, before, strict=True)] == [1, 0, 1, 0]
