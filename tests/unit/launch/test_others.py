"""Cores that users and hogs name, held against the host, before any process starts."""

from types import SimpleNamespace

import pytest

from emu.config import parse_scenario, resolve
from emu.errors import ConfigError, HostError
from emu.host import read_topology
from emu.launch.machine import cores_of
from emu.launch.others import check_others, refuse_hogs_everywhere, with_sampler
from tests.small_machine import small_machine

FIFO = 'class = "fifo"\npriority = 1\n'


def refusal(text, usable, cores=(0, 1)):
    scenario = parse_scenario(text, "s.toml")
    try:
        refuse_hogs_everywhere(resolve(scenario), scenario, usable, SimpleNamespace(cores=list(cores)))
    except ConfigError as error:
        return str(error)
    return ""


def test_a_hog_of_a_real_time_class_on_every_core_is_refused():
    said = refusal(f"[[hogs]]\ncores = [0, 1]\n{FIFO}", [0, 1])
    assert said.startswith("s.toml: hogs[0]: every core that the launcher may use has a hog of a real-time class")
    assert "--force" in said
    assert refusal(f"[[hogs]]\ncpus = [0, 1]\n{FIFO}", [4, 5], cores=(4, 5))
    assert not refusal(f"[[hogs]]\ncores = [0]\n{FIFO}", [0, 1])
    assert not refusal("[[hogs]]\ncores = [0, 1]", [0, 1])


def test_force_runs_it_only_if_every_hog_sleeps_in_between():
    forced = "[run]\nforce = true\n"
    assert not refusal(f"{forced}[[hogs]]\ncores = [0, 1]\n{FIFO}", [0, 1])
    said = refusal(f"{forced}[[hogs]]\ncores = [0, 1]\nidle_ms = 0.0\n{FIFO}", [0, 1])
    assert said and "--force" not in said


@pytest.mark.parametrize(("text", "key"), [
    ('[[users]]\nkind = "victim"\ncores = [60000]', "users[0].cores"), ("[[hogs]]\ncores = [60000]", "hogs[0].cores"),
])
def test_a_core_that_does_not_exist_is_refused_by_the_key_that_names_it(text, key):
    scenario = parse_scenario(text, "s.toml")
    topology = read_topology()
    with pytest.raises(HostError, match=r"^s\.toml: ") as caught:
        check_others(resolve(scenario), scenario, topology, SimpleNamespace(cores=topology.usable_ids[:1]))
    assert key in str(caught.value)


def test_users_and_hogs_go_where_their_tables_say():
    machine = small_machine('users=[{kind = "victim", cpu = 1}, {kind = "cache", cores = [9]}, '
                            '{kind = "filler", cores = "housekeeping"}, {kind = "atomic", cpu = -1}]',
                            "hogs=[{cores = [3, 4], cpus = [1]}]")
    places = SimpleNamespace(cores=[5, 6]), SimpleNamespace(cores=[7, 8])
    cores = {role.name: cores_of(role, machine.plan.resolved, *places) for role in machine.plan.roles}
    assert [cores[f"user/{i}"] for i in range(4)] == [[6], [9], [7, 8], [7, 8]]
    assert [cores[f"hog/{i}"] for i in range(3)] == [[3], [4], [6]]


def test_the_sampler_runs_where_it_costs_no_mutator_a_core():
    resolved = resolve(parse_scenario(""))
    places = SimpleNamespace(cores=[0, 1])
    assert not with_sampler(resolved, places, SimpleNamespace(cores=[0, 1])).series.on
    assert with_sampler(resolved, places, SimpleNamespace(cores=[2])).series.on
    off = resolve(parse_scenario("[series]\ninterval_ms = 0"))
    assert not with_sampler(off, places, SimpleNamespace(cores=[2])).series.on
