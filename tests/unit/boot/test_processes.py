"""Every process finds its CPU, every CPU its processes."""

from emu.boot import UNBOUND
from emu.kvfree import KRC
from emu.policy import STOCK, stock_of
from emu.rcu import RCU, rcu_state
from emu.shm import PROC, proc_of
from emu.sync import CPU, NOBODY, cpu_of
from tests.small_machine import small_machine


def test_every_process_finds_its_cpu_and_every_cpu_its_processes():
    machine = small_machine("run.epoch=E61", "cpus.count=3")
    seg = machine.seg
    for role in machine.plan.roles:
        proc = proc_of(seg, role.index)
        assert (seg[proc + PROC.role], seg[proc + PROC.cpu]) == (role.kind, role.cpu)
        assert seg[proc + PROC.index] == role.number
        assert seg[proc + PROC.pcp_cpu] == (3 if role.cpu == UNBOUND else role.cpu)
    for cpu in range(3):
        words = cpu_of(seg, cpu)
        mine = [seg[words + which] for which in (CPU.mutator, CPU.refill, CPU.reclaim)]
        assert mine == [machine.index(f"{name}/{cpu}") for name in ("mutator", "page_refill", "reclaim")]
        assert seg[words + CPU.online] == 1
    assert seg[rcu_state(seg) + RCU.coordinator] == machine.index("coordinator")


def test_unbound_workers_belong_to_no_cpu():
    machine = small_machine("run.epoch=E612", "policy.refill.bound=false")
    seg = machine.seg
    for cpu in range(2):
        assert [seg[cpu_of(seg, cpu) + which] for which in (CPU.refill, CPU.reclaim)] == [NOBODY, NOBODY]
        assert seg[stock_of(seg, cpu) + STOCK.worker] == machine.index("page_refill/0")
        assert seg[machine.plan.krc(cpu) + KRC.reclaim] == machine.index("reclaim/0")
