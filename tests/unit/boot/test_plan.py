"""Who takes part, and where a plan says that their words are."""

import pytest

from emu.boot import UNBOUND, Role, plan_roles
from emu.mm import cache_of
from emu.policy import stock_of
from emu.shm import COORDINATOR, MUTATOR, PAGE_REFILL, RECLAIM, proc_of
from emu.sync import cpu_of
from emu.workload import load_of
from tests.small_machine import small_machine, small_scenario


def kinds(roles: list[Role]) -> dict[int, list[int]]:
    """CPUs of the processes of each role."""
    return {kind: [role.cpu for role in roles if role.kind == kind]
            for kind in (MUTATOR, PAGE_REFILL, RECLAIM, COORDINATOR)}


@pytest.mark.parametrize(("overrides", "refills", "reclaims"), [
    (["run.epoch=E612"], [0, 1, 2], [UNBOUND]),
    (["run.epoch=E61"], [0, 1, 2], [0, 1, 2]),
    (["run.epoch=E612", "policy.refill.bound=false"], [UNBOUND], [UNBOUND]),
    (["run.epoch=E59"], [], [0, 1, 2]),
    (["policy.preset=S4"], [], [UNBOUND]),
])
def test_workers_are_per_cpu_where_bound_and_absent_where_nobody_asks_for_them(overrides, refills, reclaims):
    roles = plan_roles(small_scenario("cpus.count=3", *overrides))
    assert kinds(roles) == {MUTATOR: [0, 1, 2], PAGE_REFILL: refills, RECLAIM: reclaims, COORDINATOR: [UNBOUND]}
    assert [role.index for role in roles] == list(range(len(roles)))
    assert len({role.name for role in roles}) == len(roles)


def test_the_plan_s_own_addresses_are_those_of_the_rooms():
    machine = small_machine("cpus.count=3", "slab.object_bytes=[32, 64]", "slab.weights=[1, 1]")
    seg, plan = machine.seg, machine.plan
    for cpu in range(3):
        assert plan.cpu(cpu) == cpu_of(seg, cpu)
        assert plan.stock(cpu) == stock_of(seg, cpu)
        assert plan.load(cpu) == load_of(seg, cpu)
    assert plan.cache(1) == cache_of(seg, 1)
    assert plan.proc(4) == proc_of(seg, 4)
