"""read_topology(): the real host and synthetic ones."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.host import UNKNOWN, format_core_list, parse_cpulist, read_topology
from emu.host.topology import read_cgroup, read_hypervisor

TWO_IDS = [*range(32), *range(64, 96), *range(128, 160), *range(192, 224)]


def test_this_host_is_read_as_the_kernel_describes_it():
    topology = read_topology()
    mask = os.sched_getaffinity(0)
    assert set(topology.mask) == mask
    assert set(topology.usable_ids) == mask  # what one may run on is online
    for core in topology.cores:
        assert core.id in core.siblings
        assert topology.core(core.id) is core


def test_import_compiles_nothing():
    code = "import sys, emu.host; sys.exit('numba' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_two_packages_with_holes_in_their_ids(two_packages):
    topology = two_packages.read(TWO_IDS)
    assert [core.id for core in topology.cores] == TWO_IDS
    core = topology.core(208)
    assert (core.package, core.core_id, core.siblings, core.node) == (1, 16, (80, 208), 1)
    assert (core.physical, core.l3, core.governor, core.max_mhz) == (80, 80, "schedutil", 3700)
    assert not core.isolated and not core.nohz_full
    assert topology.core(32) is None
    assert len({core.physical for core in topology.cores}) == 64
    assert {core.l3 for core in topology.cores} == {0, 16, 64, 80}


def test_a_host_without_most_files_still_has_its_cores(machine):
    for i in range(4):  # an arm64 board: no caches, no die, no clock control, no nodes, no lists
        machine.write(machine.cpu / f"cpu{i}/topology/core_id", i)
    machine.write(machine.proc / "cpuinfo", "processor : 0\nCPU implementer : 0x41")
    topology = machine.read([0, 1, 2, 3])
    assert topology.usable_ids == (0, 1, 2, 3)
    core = topology.core(2)
    assert (core.package, core.die, core.node, core.l3) == (UNKNOWN,) * 4
    assert (core.siblings, core.governor, core.max_mhz) == ((2,), "", 0)
    assert (topology.hypervisor, topology.quota_cpus, topology.cpuset) == ("", None, None)


def test_without_sysfs_the_mask_is_all_there_is(machine):
    topology = machine.read([3, 5])
    assert topology.usable_ids == (3, 5)


def test_offline_cores_are_listed_but_not_usable(machine):
    for i in (0, 1, 3):
        machine.core(i, core_id=i)
    machine.lists(present="0-3", online="0-1,3")  # cpu2 has lost its topology folder, as offline ones do
    topology = machine.read([0, 1, 3])
    assert topology.online_ids == (0, 1, 3)
    assert (topology.core(2).online, topology.core(2).usable) == (False, False)


def test_offline_shows_in_the_cores_own_file_where_no_list_does(machine):
    for i in (0, 1):
        machine.core(i, core_id=i)
    machine.write(machine.cpu / "cpu1/online", 0)
    assert machine.read([0]).online_ids == (0,)


def test_a_reduced_mask_leaves_the_rest_visible_but_not_usable(smt_four):
    topology = smt_four.read([2, 6])
    assert topology.usable_ids == (2, 6)
    assert len(topology.cores) == 8 and not topology.core(0).allowed


def test_isolated_and_tickless_cores_are_marked(smt_four):
    smt_four.lists(isolated="2-3", nohz_full="3")
    smt_four.write(smt_four.sys / "fs/cgroup/cpuset.cpus.isolated", "6")
    topology = smt_four.read(range(8))
    assert [core.id for core in topology.cores if core.isolated] == [2, 3, 6]
    assert [core.id for core in topology.cores if core.nohz_full] == [3]


@pytest.mark.parametrize(
    ("limits", "cores"),
    [
        ({"": None, "a": "150000 100000", "a/b": "max 100000"}, 1.5),
        ({"a": "400000 100000", "a/b": "50000 100000"}, 0.5),
        ({"a": "max 100000"}, None),
        ({"a/b": "nonsense"}, None),
    ],
)
def test_tightest_quota_on_the_way_to_the_root_counts(machine, limits, cores):
    for group, text in limits.items():
        if text is not None:
            machine.write(machine.sys / "fs/cgroup" / group / "cpu.max", text)
    machine.write(machine.sys / "fs/cgroup/a/cpuset.cpus.effective", "2-3,7")
    machine.write(machine.proc / "self/cgroup", "0::/a/b")
    assert read_cgroup(machine.sys / "fs/cgroup", machine.proc) == (cores, (2, 3, 7))


def test_version_1_quota_seen_from_inside_a_container(machine):
    folder = machine.sys / "fs/cgroup/cpu,cpuacct"  # the path of the host does not exist in here, the root does
    machine.write(folder / "cpu.cfs_quota_us", 250_000)
    machine.write(folder / "cpu.cfs_period_us", 100_000)
    machine.write(machine.sys / "fs/cgroup/cpuset/cpuset.cpus", "4-5")
    machine.write(machine.proc / "self/cgroup", "4:cpu,cpuacct:/docker/0123\n3:cpuset:/docker/0123\n0::/docker/0123")
    assert read_cgroup(machine.sys / "fs/cgroup", machine.proc) == (2.5, (4, 5))
    machine.write(folder / "cpu.cfs_quota_us", -1)
    assert read_cgroup(machine.sys / "fs/cgroup", machine.proc) == (None, (4, 5))


def test_a_group_path_above_the_namespace_does_not_escape_the_mount(machine):
    machine.write(machine.sys / "outside/cpu.max", "100000 100000")
    machine.write(machine.sys / "fs/cgroup/cpu.max", "300000 100000")
    machine.write(machine.proc / "self/cgroup", "0::/../../outside")
    assert read_cgroup(machine.sys / "fs/cgroup", machine.proc)[0] == 3.0


def test_hypervisor_is_named_by_firmware_only_where_the_flag_shows_one(machine):
    machine.write(machine.sys / "class/dmi/id/sys_vendor", "Amazon EC2")
    machine.write(machine.proc / "cpuinfo", "flags\t: fpu vme")
    assert read_hypervisor(machine.sys, machine.proc) == ""  # its bare metal
    machine.write(machine.proc / "cpuinfo", "flags\t: fpu hypervisor vme")
    assert read_hypervisor(machine.sys, machine.proc) == "ec2"


def test_hypervisor_is_named_by_its_clock_or_not_at_all(machine):
    machine.write(machine.proc / "cpuinfo", "flags\t: hypervisor")
    assert read_hypervisor(machine.sys, machine.proc) == "unnamed"
    clocks = machine.sys / "devices/system/clocksource/clocksource0/available_clocksource"
    machine.write(clocks, "tsc kvm-clock acpi_pm")
    assert read_hypervisor(machine.sys, machine.proc) == "kvm"


@given(st.sets(st.integers(0, 300), min_size=1))
def test_lists_survive_being_written_and_read(ids):
    assert parse_cpulist(format_core_list(ids)) == tuple(sorted(ids))


@pytest.mark.parametrize("text", ["", "(null)", "a-b", "1,,2", "-3"])
def test_what_is_no_list_is_empty(text):
    assert parse_cpulist(text) == ()
