"""A machine's values lie above the defaults and below the user's; its memory comes out as the kernel's does."""

import pytest

from emu.config import all_keys, parse_scenario, resolve
from emu.config.machines import GROUPS, MACHINES, machine_values

# machine -> min_free_kbytes, and per zone (node, name): MIN, LOW, HIGH, GFP_ATOMIC's floor, OOM victim's floor
MARKS = {
    "phone": (5505, {(0, "NORMAL"): (1376, 1849, 2322, 516, 688)}),
    "rt-board": (3965, {(0, "NORMAL"): (991, 1238, 1485, 372, 496)}),
    "server": (64_910, {(0, "NORMAL"): (7986, 40_386, 72_786, 2995, 3993),
                        (1, "NORMAL"): (8133, 41_133, 74_133, 3051, 4067)}),
    "vm": (7975, {(0, "DMA32"): (1483, 2223, 2963, 557, 742), (0, "NORMAL"): (501, 751, 1001, 189, 251)}),
}
# machine -> per zone: high_min, high_max by rule v6.7
TUNED = {
    "phone": {(0, "NORMAL"): (252, 7400)},
    "rt-board": {(0, "NORMAL"): (309, 7680)},
    "server": {(0, "NORMAL"): (1262, 126_562)},
    "vm": {(0, "DMA32"): (1111, 46_250), (0, "NORMAL"): (375, 15_625)},
}


def machine(name, **overrides):
    overrides = {key.replace("__", "."): value for key, value in overrides.items()}
    return resolve(parse_scenario("", overrides={"run.machine": name, **overrides}))


def zones_of(resolved):
    return {(zone.node, zone.name): zone for zone in resolved.memory.zones}


@pytest.mark.parametrize("name", MARKS)
def test_marks_of_a_machine(name):
    free_kbytes, marks = MARKS[name]
    resolved = machine(name)
    assert resolved.memory.min_free_kbytes == free_kbytes
    for place, (low_end, low, high, atomic, victim) in marks.items():
        zone = zones_of(resolved)[place]
        assert (zone.wmark_min, zone.wmark_low, zone.wmark_high) == (low_end, low, high)
        half = low_end - low_end // 2
        assert (half - half // 4, half) == (atomic, victim)


@pytest.mark.parametrize("name", TUNED)
def test_per_cpu_lists_of_a_machine(name):
    new, old = zones_of(machine(name)), zones_of(machine(name, run__epoch="E59"))
    for place, ends in TUNED[name].items():
        assert (new[place].high_min, new[place].high_max) == ends
        assert (old[place].batch, old[place].pcp_high) == (63, 378)
    if name in ("server", "vm"):
        assert (old[0, "DMA"].batch, old[0, "DMA"].pcp_high) == (1, 0)


def test_huge_pages_raise_the_vms_marks():
    zones = zones_of(machine("vm", memory__thp=True))
    assert [(zones[0, name].wmark_min, zones[0, name].wmark_low, zones[0, name].wmark_high)
            for name in ("DMA32", "NORMAL")] == [(12_580, 15_725, 18_870), (4250, 5312, 6374)]


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_says_where_its_values_come_from_and_the_user_has_the_last_word(name):
    resolved = machine(name, run__hz=300)
    assert resolved.run.hz == 300 and resolved.provenance["run.hz"] == "user"
    assert resolved.provenance["run.preemption"] == "machine"
    assert resolved.run.preemption == MACHINES[name].values["run.preemption"]
    assert resolved.run.machine == name
    assert set(MACHINES[name].values) <= set(all_keys())


def test_keys_that_belong_together_are_taken_whole_or_not_at_all():
    contexts = machine("phone", workload__contexts__task=1.0, workload__one_arg_share=0.0).workload.contexts
    assert (contexts.task, contexts.softirq) == (1.0, 0.0)
    small = machine("server", memory__managed_pages=65_536, apps__count=0)
    assert [zone.managed_pages for zone in small.memory.zones] == [65_536]
    assert (small.apps.count, small.monitor.kind) == (0, "none")
    flood = machine("phone", workload__kind="flood")
    assert (flood.workload.rate_per_s, flood.workload.burst.calls) == (0.0, 2000)


@pytest.mark.parametrize("keys, values", GROUPS)
def test_every_group_names_keys_that_exist(keys, values):
    for name in keys + values:
        assert name in all_keys() or any(key.startswith(name) for key in all_keys() if name.endswith("."))


def test_a_scaled_machine_shrinks_with_its_applications_in_whole_pageblocks():
    resolved = machine("server", memory__scale=0.01, cpus__count=4)
    sizes = [zone.managed_pages for zone in resolved.memory.zones]
    assert sizes == [632 * 512, 8 * 512, 64, 644 * 512]
    assert resolved.memory.managed_pages == sum(sizes)
    assert resolved.apps.pages == 10_000
    assert resolved.provenance["memory.managed_pages"] == "formula"


def test_no_machine_has_no_values():
    assert machine_values("", frozenset(), 1.0) == {}
