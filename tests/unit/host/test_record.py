"""host_record(): complete, packable, and nameless."""

import getpass
import platform
from pathlib import Path

import msgpack
import pytest

from emu.host import DmaLatencyGuard, container_hints, host_record, read_topology
from emu.host.record import dma_latency_note


@pytest.fixture
def record():
    return host_record(read_topology())


def test_record_survives_msgpack(record):
    assert msgpack.unpackb(msgpack.packb(record)) == record


def test_record_says_what_ran(record):
    assert record["kernel"] == platform.release() and record["machine"] == platform.machine()
    assert record["python"] == platform.python_version()
    assert record["packages"]["numba"].count(".") >= 1 and record["packages"]["psutil"]
    assert record["memory_bytes"] >= record["memory_available_bytes"] > 0
    assert record["shm_bytes"] >= record["shm_free_bytes"]
    assert record["ticks"] >= record["steal_ticks"] >= 0 and record["ticks"] > 0
    assert set(record["mask"]) <= {core["id"] for core in record["cores"]}


def test_record_names_neither_host_nor_user_nor_folder(record):
    def strings(value):
        if isinstance(value, dict):
            return [text for each in value.values() for text in strings(each)]
        if isinstance(value, list):
            return [text for each in value for text in strings(each)]
        return [value] if isinstance(value, str) else []

    texts = strings(record)
    assert platform.node() not in texts and getpass.getuser() not in texts
    assert not any(str(Path.cwd()) in text or str(Path.home()) in text for text in texts if Path.home() != Path("/"))


def test_record_of_a_host_that_tells_nothing(machine, tmp_path):
    record = host_record(machine.read([0, 1]), None, machine.sys, machine.proc, tmp_path)
    assert (record["cpu_model"], record["cpu_mhz"], record["clocksource"]) == ("", 0, "")
    assert (record["memory_bytes"], record["load"], record["ticks"], record["container"]) == (0, [], 0, [])
    assert msgpack.unpackb(msgpack.packb(record)) == record


@pytest.mark.parametrize(
    ("cpuinfo", "model", "mhz"),
    [
        ("model name\t: Some Chip 9000\ncpu MHz\t\t: 2596.120\n\ncpu MHz\t\t: 3100.4", "Some Chip 9000", 3100),
        ("CPU implementer\t: 0x41\nCPU part\t: 0xd0c", "arm implementer 0x41 part 0xd0c", 0),
        ("CPU implementer\t: 0x41", "", 0),
    ],
)
def test_cpu_model_is_found_on_both_families(machine, cpuinfo, model, mhz):
    machine.write(machine.proc / "cpuinfo", cpuinfo)
    record = host_record(machine.read([0]), None, machine.sys, machine.proc)
    assert (record["cpu_model"], record["cpu_mhz"]) == (model, mhz)


def test_clock_limit_of_the_cores_beats_the_clock_of_now(two_packages):
    two_packages.write(two_packages.proc / "cpuinfo", "cpu MHz : 800.0")
    assert host_record(two_packages.read([0]), None, two_packages.sys, two_packages.proc)["cpu_mhz"] == 3700


def test_container_hints(machine, tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert container_hints(machine.proc, tmp_path) == []
    machine.write(machine.proc / "self/cgroup", "0::/kubepods.slice/pod1")
    machine.write(tmp_path / ".dockerenv", "")
    assert container_hints(machine.proc, tmp_path) == ["docker", "kubepods"]


def test_idle_latency_note_says_whether_it_was_held(tmp_path):
    path = tmp_path / "cpu_dma_latency"
    assert dma_latency_note(None, path) == "not asked for; not permitted"
    path.write_bytes(b"")
    assert dma_latency_note(None, path) == "not asked for; permitted"
    with DmaLatencyGuard(0, path) as guard:
        assert host_record(read_topology(), guard)["cpu_dma_latency"] == "held"
    with DmaLatencyGuard(0, tmp_path / "absent") as guard:
        assert dma_latency_note(guard).startswith("not held: ")
