"""What the host may lack: shared memory, privileges; and what a dead launcher left on it."""

import ctypes
import os
import resource
import signal

import psutil
import pytest

from emu.host import can_use_fifo

CAP_SYS_ADMIN, CAP_SYS_NICE = 21, 23
PR_CAPBSET_DROP = 24
RUN = ("configs/default.toml", "memory.managed_pages=16384", "cpus.count=1", "run.duration_ms=300")
FIFO = ('processes.coordinator.class="fifo"', "processes.coordinator.priority=1")


def has_capability(number):
    with open("/proc/self/status") as file:
        return bool(int(file.read().split("CapEff:")[1].split()[0], 16) >> number & 1)


def without_sys_nice():
    """In the child, before exec: nothing of CAP_SYS_NICE comes through, nor of the limits that stand for it."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_NICE, 0, 0, 0)  # refused to whom it would not matter
    for limit in (resource.RLIMIT_RTPRIO, resource.RLIMIT_NICE):
        resource.setrlimit(limit, (0, 0))


@pytest.mark.skipif(not has_capability(CAP_SYS_ADMIN), reason="needs CAP_SYS_ADMIN to mount")
def test_full_shared_memory_is_one_message_with_both_figures(emu):
    mount = 'mount -t tmpfs -o size=4m tmpfs /dev/shm && exec "$@"'
    program = emu.run(*RUN, prefix=("unshare", "-m", "--propagation", "private", "sh", "-c", mount, "sh"))
    assert program.code == 2, program.told()
    lines = program.err.splitlines()
    assert len(lines) == 1, program.told()
    assert lines[0].startswith("emu: /dev/shm: the segment needs ") and " MiB, 4.0 MiB are free; " in lines[0]
    assert "lower memory.managed_pages" in lines[0] and "mount -o remount,size=" in lines[0]
    assert program.out == "" and not program.result.exists()


def test_segment_of_a_killed_launcher_and_guard_is_removed_at_the_next_start(emu):
    program = emu.start_run(*RUN, "run.duration_ms=60000")
    live = program.live()
    guard = program.processes(live)["guard"]
    live.close()
    os.kill(program.pid, signal.SIGSTOP)
    while psutil.Process(program.pid).status() != psutil.STATUS_STOPPED:
        pass
    os.kill(guard, signal.SIGKILL)
    program.signal(signal.SIGKILL)
    program.finish(leaves_segment=True)
    left = [path.name for path in program.segments()]
    assert len(left) == 1
    second = emu.run(*RUN)
    assert second.code == 0, second.told()
    assert f"emu: removed {left[0]}, the shared memory of a run whose launcher had died" in second.err
    assert program.segments() == []


def test_segment_of_a_running_launcher_is_left_alone(emu):
    first = emu.start_run(*RUN, "run.duration_ms=60000")
    first.live().close()
    second = emu.start_run(*RUN)
    assert second.process.wait() == 0, second.finish()
    assert len(first.segments()) == 1
    assert "removed" not in second.err
    first.signal(signal.SIGINT)
    assert first.finish() == 130, first.told()
    second.finish()


@pytest.mark.parametrize(("asked", "named"), [
    (FIFO, "not permitted to run in class fifo with priority 1"),
    (("processes.mutator.nice=-5",), "not permitted to set nice -5"),
])
def test_class_without_privilege_is_refused_and_names_the_capability(emu, asked, named):
    program = emu.run(*RUN, *asked, before_exec=without_sys_nice)
    assert program.code == 2, program.told()
    assert len(program.err.splitlines()) == 1, program.told()
    for text in (named, "CAP_SYS_NICE", "--degrade"):
        assert text in program.err, program.told()
    assert not program.result.exists()


@pytest.mark.parametrize("asked", [FIFO, ("processes.mutator.nice=-5",)])
def test_degraded_run_is_marked_everywhere(emu, asked):
    program = emu.run(*RUN, *asked, flags=("--degrade",), before_exec=without_sys_nice)
    assert program.code == 0, program.told()
    assert len(program.record["degraded"]) == 1 and "not permitted" in program.record["degraded"][0]
    assert "\ndegraded  " in program.out
    assert "--degrade" in program.record["command"]
    assert {row["class"] for row in program.record["processes"]} == {"other"}
    assert {row["nice"] for row in program.record["processes"]} == {0}


def test_degrade_with_the_privilege_changes_nothing(emu):
    if not can_use_fifo():
        pytest.skip("needs CAP_SYS_NICE and realtime bandwidth")
    program = emu.run(*RUN, *FIFO, flags=("--degrade",))
    assert program.code == 0, program.told()
    assert program.record["degraded"] == []
    rows = {row["name"]: (row["class"], row["priority"]) for row in program.record["processes"]}
    assert rows["coordinator"] == ("fifo", 1)


def test_unwritable_output_is_refused_before_the_run(emu, tmp_path):
    program = emu.call("run", "configs/default.toml", "-o", str(tmp_path))
    assert program.code == 2
    assert program.err.startswith(f"emu: {tmp_path}: cannot be written") and program.out == ""


def test_report_survives_an_output_that_became_unwritable(emu, tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    program = emu.start("run", *RUN[:1], "--set", "run.duration_ms=600", "-o", str(folder / "r.emu"))
    program.live().close()
    folder.rmdir()
    folder.write_text("now a file")
    program.finish()
    assert program.code == 2, program.told()
    assert program.out.startswith("VALID: ")
    assert "r.emu: cannot be written" in program.err


def test_reader_of_the_report_that_goes_away_is_no_error(emu):
    program = emu.run(*RUN, prefix=("bash", "-o", "pipefail", "-c", '"$@" | true', "bash"))
    assert program.code == 0, program.told()
    assert program.record["verdict"]["word"] == "VALID"
    assert "BrokenPipe" not in program.err


def test_two_runs_beside_each_other_do_not_touch_each_other(emu):
    programs = [emu.start_run(*RUN) for _ in range(2)]
    assert [program.process.wait() for program in programs] == [0, 0]
    for program in programs:
        program.finish()
        assert program.record["verdict"]["word"] == "VALID"
