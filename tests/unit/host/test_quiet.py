"""Guards, signals, process states, and what will disturb a run."""

import os
import signal
import struct
import subprocess
import sys
import textwrap
import time

import pytest

from emu.errors import HostError
from emu.host import (
    Core,
    DmaLatencyGuard,
    Topology,
    disturbances,
    load_average,
    process_state,
    read_topology,
    set_parent_death_signal,
    set_timer_slack,
    steal_jiffies,
)


def run(script: str) -> str:
    return subprocess.check_output([sys.executable, "-c", textwrap.dedent(script)], text=True)


def wait_for_state(pid, state):
    while process_state(pid) != state:  # the test's watchdog ends a wait that cannot end
        time.sleep(0.001)
    return process_state(pid)


# --- the guard -----------------------------------------------------------------------------------------


def test_guard_writes_the_latency_and_holds_the_file_open(tmp_path):
    path = tmp_path / "cpu_dma_latency"
    path.write_bytes(b"")
    with DmaLatencyGuard(7, path) as guard:
        assert guard.held and guard.reason == ""
        assert path.read_bytes() == struct.pack("i", 7)
        open_files = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_link(fd)]
        assert str(path) in open_files
    assert not guard.held and guard.reason == "released"
    open_files = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_link(fd)]
    assert str(path) not in open_files


def _is_link(fd) -> bool:
    return os.path.islink(f"/proc/self/fd/{fd}")


def test_guard_without_the_file_goes_on_and_says_so(tmp_path):
    with DmaLatencyGuard(0, tmp_path / "absent") as guard:
        assert not guard.held and "does not exist" in guard.reason
    assert not guard.held and "does not exist" in guard.reason


def test_guard_that_may_not_write_goes_on_and_names_the_way_out(tmp_path):
    with DmaLatencyGuard(0, tmp_path) as guard:  # a folder cannot be written, even by root
        assert not guard.held and "run as root" in guard.reason


def test_guard_on_this_host_either_holds_or_has_a_reason():
    with DmaLatencyGuard() as guard:
        assert guard.held != bool(guard.reason)


# --- slack and signals ---------------------------------------------------------------------------------


def test_timer_slack_is_what_was_asked_for():
    assert run("from emu.host import set_timer_slack; print(set_timer_slack(1), set_timer_slack(12345))") == "1 12345\n"


def test_timer_slack_of_zero_is_a_programmer_error():
    with pytest.raises(AssertionError):
        set_timer_slack(0)


def test_child_is_killed_when_its_parent_ends():
    script = f"""
        import os, signal, subprocess, sys
        body = "import os, signal, sys, time; from emu.host import set_parent_death_signal; "
        body += "set_parent_death_signal(signal.SIGKILL, %d); print(os.getpid(), flush=True); time.sleep(3600)"
        child = subprocess.Popen([{sys.executable!r}, "-c", body % os.getpid()], stdout=subprocess.PIPE, text=True)
        print(child.stdout.readline().strip(), flush=True)
    """
    pid = int(run(script))
    while process_state(pid) not in ("dead", "zombie"):
        time.sleep(0.001)
    assert process_state(pid) in ("dead", "zombie")  # a container without a reaping init keeps the zombie


def test_a_parent_that_is_already_gone_is_noticed():
    out = run("""
        from emu.errors import HostError
        from emu.host import set_parent_death_signal
        try:
            set_parent_death_signal(9, parent=1 << 30)
        except HostError as error:
            print(error)
    """)
    assert f"parent process {1 << 30} is gone" in out


def test_an_impossible_signal_is_refused():
    with pytest.raises((HostError, ValueError)):
        set_parent_death_signal(4000)


# --- process states ------------------------------------------------------------------------------------


def test_a_process_goes_through_the_states_by_name():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    try:
        assert wait_for_state(child.pid, "sleeping") == "sleeping"
        child.send_signal(signal.SIGSTOP)
        assert wait_for_state(child.pid, "stopped") == "stopped"
        child.send_signal(signal.SIGCONT)
        assert wait_for_state(child.pid, "sleeping") == "sleeping"
    finally:
        child.kill()
    assert wait_for_state(child.pid, "zombie") == "zombie"  # ended, not waited for
    child.wait()
    assert process_state(child.pid) == "dead"


def test_whoever_asks_about_itself_is_running():
    assert run("import os; from emu.host import process_state; print(process_state(os.getpid()))") == "running\n"


# --- disturbances --------------------------------------------------------------------------------------


def quiet_host(**changes) -> Topology:
    facts = {"isolated": True, "nohz_full": True, "governor": "performance", "package": 0, "node": 0}
    cores = tuple(Core(i, siblings=(i,), **(facts | changes)) for i in range(4))
    return Topology(cores, (0, 1, 2, 3))


@pytest.fixture
def find(machine, tmp_path):
    latency = tmp_path / "cpu_dma_latency"
    latency.write_bytes(b"")

    def names(topology, cores=None):
        found = disturbances(topology, cores, machine.sys, machine.proc, latency)
        assert all(each.what and each.way_out and str(each) == f"{each.what}; {each.way_out}" for each in found)
        return {each.name: each for each in found}

    return names


def test_a_quiet_host_has_no_disturbances(find):
    assert find(quiet_host()) == {}


def test_governor_names_its_cores(find):
    found = find(quiet_host(governor="schedutil"), cores=[1, 2])
    assert found.keys() == {"governor"}
    assert "1-2" in found["governor"].what and "schedutil" in found["governor"].what


def test_siblings_disturb_only_where_they_are_online(find, machine, smt_four):
    assert "0-7" in find(smt_four.read(range(8)))["smt"].what
    assert "cores 0 have" in find(smt_four.read(range(8)), cores=[0])["smt"].what
    smt_four.lists(online="0-3")
    assert "smt" not in find(smt_four.read(range(4)))


def test_missing_isolation_and_ticks(find):
    assert "isolcpus=" in find(quiet_host(isolated=False))["isolation"].way_out
    assert find(quiet_host(nohz_full=False)).keys() == {"tick"}


def test_isolated_cores_outside_the_mask_are_offered(find):
    cores = (Core(0), Core(1), Core(2, allowed=False, isolated=True))
    assert "taskset -c 0-2" in find(Topology(cores, (0, 1)))["isolation"].way_out


def test_quota_below_the_cores(find):
    host = quiet_host()
    assert "0.5 of 4" in find(Topology(host.cores, host.mask, quota_cpus=0.5))["cgroup quota"].what
    assert find(Topology(host.cores, host.mask, quota_cpus=4.0)) == {}


def test_hypervisor_tells_the_steal_so_far(find, machine):
    host = quiet_host()
    guest = Topology(host.cores, host.mask, hypervisor="kvm")
    assert "little so far" in find(guest)["hypervisor"].what
    machine.write(machine.proc / "stat", "cpu  500 0 300 9000 0 0 100 100 700 0\ncpu0 1 2 3")
    assert steal_jiffies(machine.proc) == (100, 10_000)
    assert "1.00 %" in find(guest)["hypervisor"].what


def test_load_swap_huge_pages_and_numa_balancing(find, machine):
    machine.write(machine.proc / "loadavg", "3.50 1.00 0.50 2/300 1234")
    machine.write(machine.proc / "meminfo", "MemTotal: 1000000 kB\nSwapTotal:  409600 kB\nSwapFree: 204800 kB")
    machine.write(machine.sys / "kernel/mm/transparent_hugepage/enabled", "[always] madvise never")
    machine.write(machine.proc / "sys/kernel/numa_balancing", 1)
    found = find(quiet_host())
    assert found.keys() == {"load", "swap", "huge pages"}  # one node: nothing to balance
    assert "3.50" in found["load"].what and "200 MiB" in found["swap"].what
    cores = tuple(Core(i, siblings=(i,), node=i, isolated=True, nohz_full=True) for i in range(2))
    assert "numa balancing" in find(Topology(cores, (0, 1)))


def test_little_load_and_unused_swap_are_not_worth_a_line(find, machine):
    machine.write(machine.proc / "loadavg", "0.20 1.00 0.50 2/300 1234")
    machine.write(machine.proc / "meminfo", "SwapTotal:  409600 kB\nSwapFree: 409600 kB")
    machine.write(machine.sys / "kernel/mm/transparent_hugepage/enabled", "always [madvise] never")
    assert find(quiet_host()) == {}
    assert load_average(machine.proc) == (0.2, 1.0, 0.5)


def test_idle_states_that_cannot_be_held_off(machine, tmp_path):
    found = disturbances(quiet_host(), None, machine.sys, machine.proc, tmp_path / "absent")
    assert [each.name for each in found] == ["idle states"]


def test_this_host_is_described_in_words():
    found = disturbances(read_topology())
    assert len({each.name for each in found}) == len(found)
    assert all(each.what and each.way_out for each in found)
