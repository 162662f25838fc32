"""Machines that are not this one: sysfs and procfs trees laid out on disk."""

from pathlib import Path

import pytest

from emu.host import Topology, read_topology


class Machine:
    """A synthetic host below one folder. Only what is written exists: the rest is missing, as on odd hosts."""

    def __init__(self, root: Path):
        self.sys = root / "sys"
        self.proc = root / "proc"
        self.cpu = self.sys / "devices/system/cpu"

    def write(self, path: Path, text) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    def core(self, i, package=0, core_id=0, siblings=None, l3=None, die=0, governor=None, khz=None) -> None:
        at = self.cpu / f"cpu{i}"
        self.write(at / "topology/physical_package_id", package)
        self.write(at / "topology/core_id", core_id)
        self.write(at / "topology/die_id", die)
        self.write(at / "topology/thread_siblings_list", i if siblings is None else siblings)
        if l3 is not None:
            self.write(at / "cache/index0/level", 1)
            self.write(at / "cache/index0/shared_cpu_list", i)
            self.write(at / "cache/index3/level", 3)
            self.write(at / "cache/index3/shared_cpu_list", l3)
        if governor is not None:
            self.write(at / "cpufreq/scaling_governor", governor)
        if khz is not None:
            self.write(at / "cpufreq/cpuinfo_max_freq", khz)

    def lists(self, **names) -> None:
        for name, text in names.items():
            self.write(self.cpu / name, text)

    def node(self, number, cores) -> None:
        self.write(self.sys / f"devices/system/node/node{number}/cpulist", cores)

    def read(self, allowed) -> Topology:
        return read_topology(self.sys, self.proc, allowed)


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def two_packages(machine) -> Machine:
    """128 logical cores with holes: ids 0-31, 64-95, 128-159, 192-223. Two packages, SMT, two L3 each."""
    for package in (0, 1):
        for k in range(32):
            first = 64 * package + k
            second = first + 128
            base = 64 * package + 16 * (k // 16)
            l3 = f"{base}-{base + 15},{base + 128}-{base + 143}"
            for i in (first, second):
                machine.core(i, package, k, f"{first},{second}", l3, governor="schedutil", khz=3_700_000)
        low = 64 * package
        machine.node(package, f"{low}-{low + 31},{low + 128}-{low + 159}")
    ids = "0-31,64-95,128-159,192-223"
    machine.lists(present=ids, online=ids, isolated="", nohz_full="(null)")
    return machine


@pytest.fixture
def smt_four(machine) -> Machine:
    """Four physical cores, siblings i and i + 4, one package, one L3."""
    for i in range(8):
        machine.core(i, 0, i % 4, f"{i % 4},{i % 4 + 4}", "0-7")
    machine.lists(present="0-7", online="0-7")
    return machine
