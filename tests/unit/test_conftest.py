"""The checks that every test is under fire when they should: each is shown a test that breaks its rule.

The made-up tests run in a pytest of their own, with a copy of tests/conftest.py.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run_tests(tmp_path):
    """run_tests(text, *arguments, **environment): the finished pytest process over one made-up file."""

    def run(text, *arguments, **environment):
        conftest = (PROJECT / "tests/conftest.py").read_text()
        (tmp_path / "conftest.py").write_text(conftest.replace("WATCHDOG_GRACE_S = 30", "WATCHDOG_GRACE_S = 1"))
        (tmp_path / "test_made_up.py").write_text("import os, pathlib, subprocess, sys, time, pytest\n" + text)
        (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    soak\n    privileged\n    jit_only\n")
        env = {**os.environ, "PYTHONPATH": str(PROJECT), "TMPDIR": str(tmp_path),
               "EMU_TEST_TALLY": str(tmp_path / "tally"), **environment}
        env.pop("EMU_RUN_DIR", None)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, str(tmp_path)]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)

    return run


def test_a_clean_test_passes(run_tests, tmp_path):
    done = run_tests("def test_a(): assert True")
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "tally").read_text() == "1 0\n"


@pytest.mark.parametrize("leave, named", [
    ("subprocess.Popen(['sleep', '1000'])", "process"),
    ("os.fork() or os._exit(0)", "process"),
    ("pathlib.Path(f'/dev/shm/emu-{os.getpid()}-made-up').touch()", "segment /dev/shm/emu-"),
    ("(pathlib.Path(os.environ['EMU_RUN_DIR']) / 'emu-1-x.json').touch()", "segment note emu-1-x.json"),
])
def test_what_a_test_leaves_fails_it_and_is_removed(run_tests, tmp_path, leave, named):
    done = run_tests(f"def test_a():\n    {leave}\ndef test_b(): assert True")
    assert done.returncode == 1
    assert "left behind: " + named in done.stdout
    assert (tmp_path / "tally").read_text() == "2 1\n", "the next test was not clean"
    assert list(Path("/dev/shm").glob("emu-*-made-up")) == []


def test_a_child_that_is_just_leaving_is_waited_for(run_tests):
    done = run_tests("""
import multiprocessing
def test_a():
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(0.2,)).start()
""")
    assert done.returncode == 0, done.stdout


def test_a_segment_removed_by_its_test_is_no_finding(run_tests):
    done = run_tests("""
from emu.shm import Segment
def test_a():
    segment = Segment.create(64)
    segment.close()
    segment.unlink()
""")
    assert done.returncode == 0, done.stdout


def test_the_notes_folder_is_the_sessions_own(run_tests):
    done = run_tests("""
from emu.shm import notes_dir
def test_a():
    print("NOTES", notes_dir())
""", "-s")
    folder = Path(done.stdout.split("NOTES ")[1].split()[0])
    assert folder.name.startswith("emu-test-notes-") and not folder.exists()


def test_soak_tests_run_only_when_asked(run_tests):
    text = "@pytest.mark.soak\ndef test_a(): assert True"
    assert "1 skipped" in run_tests(text).stdout
    assert "1 passed" in run_tests(text, "--soak").stdout


def test_what_speaks_of_compiled_code_alone_is_left_out_when_interpreted(run_tests):
    text = "@pytest.mark.jit_only\ndef test_a(): assert True\ndef test_b(): assert True"
    assert "1 passed, 1 deselected" in run_tests(text, EMU_JIT="0").stdout
    assert "2 passed" in run_tests(text, EMU_JIT="1").stdout


def test_a_python_loop_that_never_ends_fails_its_test_alone(run_tests, tmp_path):
    done = run_tests("""
def test_a():
    while True:
        time.sleep(0.01)
def test_b(): assert True
""", "-o", "timeout=1", "-o", "timeout_method=signal")
    assert done.returncode == 1
    assert (tmp_path / "tally").read_text() == "1 1\n"


@pytest.mark.jit_only
def test_a_compiled_loop_that_never_ends_is_ended_with_its_session(run_tests):
    done = run_tests("""
from emu.arch import jit, load_relaxed, private_words
@jit
def forever(seg):
    while load_relaxed(seg, 0) == 0:
        pass
    return 0
def test_a():
    forever(private_words(1))
""", "-o", "timeout=1", "-o", "timeout_method=signal")
    assert done.returncode not in (0, -signal.SIGKILL)
    assert "Timeout (0:00:02)!" in done.stderr and "in test_a" in done.stderr


def test_the_children_of_fixtures_end_with_their_test(fork, shared_words):
    seg = shared_words(16)
    child = fork(lambda: signal.pause())
    child.wait_until_asleep()
    assert child.pid > 0 and len(seg) == 16
