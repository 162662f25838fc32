"""The commands of scripts/: what they say when something is missing, and that a ready environment costs nothing.

No test here needs a network: a made-up project has an environment whose interpreter only says how it was called.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
TOOLS = ("bash", "cat", "dirname", "flock", "ls", "mkdir", "mktemp", "readlink", "rm", "sha256sum")


@pytest.fixture
def project(tmp_path):
    """A copy of the scripts and what they read, in a folder whose name has a space."""
    copy = tmp_path / "a project"
    shutil.copytree(PROJECT / "scripts", copy / "scripts")
    shutil.copytree(PROJECT / ".ci", copy / ".ci")
    for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(PROJECT / name, copy / name)
    return copy


@pytest.fixture
def bare_path(tmp_path):
    """A PATH with the tools that the scripts use, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(shutil.which(tool))
    return folder


def run(command, *arguments, cwd=None, **environment):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("EMU_", "PYTEST_"))}
    return subprocess.run([str(command), *arguments], cwd=cwd, env={**env, **environment},
                          capture_output=True, text=True)


def make_ready(project, kind="run", says='printf "%s|" "$@"'):
    """An environment that counts as complete, with this shell command for an interpreter."""
    python = project / ".venv/bin/python"
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text(f"#!/bin/sh\n{says}\n")
    python.chmod(0o755)
    key = run("bash", "-c", f'source "{project}/scripts/setup.sh"; key_of {kind}').stdout
    assert len(key.strip()) == 64
    (project / f".venv/emu-{kind}.stamp").write_text(key)


def test_run_without_a_scenario_shows_its_usage_and_touches_nothing(project):
    done = run(project / "scripts/run")
    assert done.returncode == 2
    assert done.stderr.startswith("usage: scripts/run SCENARIO") and done.stdout == ""
    assert not (project / ".venv").exists()


def test_run_hands_all_arguments_to_the_program(project, tmp_path):
    make_ready(project)
    done = run(project / "scripts/run", "my scenario.toml", "--seed", "7", cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("-P|-m|emu|run|my scenario.toml|--seed|7|", "")


def test_run_works_through_a_link_and_leaves_the_callers_folder_alone(project, tmp_path):
    make_ready(project, says="pwd")
    (tmp_path / "link").symlink_to(project / "scripts/run")
    assert run(tmp_path / "link", "x", cwd=tmp_path).stdout.strip() == str(tmp_path)


def test_the_callers_python_settings_do_not_leak_in(project):
    make_ready(project, says='echo "[$PYTHONPATH$PYTHONHOME]"')
    assert run(project / "scripts/run", "x", PYTHONPATH="/elsewhere", PYTHONHOME="/nowhere").stdout == "[]\n"


def test_the_exit_code_is_the_programs(project):
    make_ready(project, says="exit 7")
    assert run(project / "scripts/run", "x").returncode == 7


def test_a_ready_environment_needs_neither_python_nor_network_nor_a_writable_folder(project, bare_path):
    make_ready(project)
    before = sorted(project.rglob("*"))
    assert run(project / "scripts/run", "x", PATH=str(bare_path)).stdout == "-P|-m|emu|run|x|"
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_a_changed_lock_or_project_file_is_noticed(project, bare_path, changed):
    make_ready(project)
    with (project / changed).open("a") as file:
        file.write("# changed\n")
    done = run(project / "scripts/run", "x", PATH=str(bare_path))
    assert done.returncode == 2 and done.stdout == ""


def test_an_incomplete_checkout_is_said(project):
    (project / "requirements.lock").unlink()
    done = run(project / "scripts/run", "x")
    assert done.returncode == 2 and "cannot read requirements.lock" in done.stderr


def test_a_moved_project_is_noticed(project, bare_path, tmp_path):
    make_ready(project)
    project.rename(tmp_path / "moved")
    assert run(tmp_path / "moved/scripts/run", "x", PATH=str(bare_path)).returncode == 2


def test_an_environment_for_a_run_is_not_enough_for_tests(project, bare_path):
    make_ready(project)
    assert run(project / "scripts/test", PATH=str(bare_path)).returncode == 2


def test_no_python_is_said_with_the_way_out(project, bare_path):
    done = run(project / "scripts/run", "x", PATH=str(bare_path))
    assert done.returncode == 2
    assert "no Python 3.11 to 3.14 on PATH" in done.stderr and "EMU_PYTHON" in done.stderr


@pytest.mark.parametrize("python", ["/bin/true", "/nowhere/python3"])
def test_a_python_that_is_none_is_refused_by_name(project, python):
    done = run(project / "scripts/run", "x", EMU_PYTHON=python)
    assert done.returncode == 2
    assert done.stderr.strip().endswith(f"EMU_PYTHON = {python} is no Python 3.11 to 3.14; correct or unset it")


def test_a_python_without_venv_is_said_with_the_package_to_install(project, bare_path):
    python = bare_path / "python3.12"
    python.write_text("""#!/bin/sh
case "$*" in
*ensurepip*) exit 1 ;;
*"<="*) echo True ;;
*) echo python3.12-venv ;;
esac
""")
    python.chmod(0o755)
    done = run(project / "scripts/run", "x", PATH=str(bare_path))
    assert done.returncode == 2
    assert "has no venv or ensurepip module" in done.stderr and "apt install python3.12-venv" in done.stderr


def test_a_folder_that_is_no_environment_is_not_touched(project, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter").write_text("dear")
    done = run(project / "scripts/run", "x", EMU_VENV=str(tmp_path / "mine"))
    assert done.returncode == 2 and "is no virtual environment" in done.stderr
    assert (tmp_path / "mine/letter").read_text() == "dear"


def test_a_place_that_cannot_be_written_is_said_with_the_way_out(project, tmp_path):
    (tmp_path / "file").touch()
    done = run(project / "scripts/run", "x", EMU_VENV=str(tmp_path / "file/venv"))
    assert done.returncode == 2 and "cannot write there" in done.stderr and "EMU_VENV=" in done.stderr


def test_an_unfinished_set_up_is_begun_anew(project, bare_path):
    make_ready(project)
    (project / ".venv/emu-run.stamp").unlink()
    (project / ".venv.lock").write_text("emu set-up under way\n")
    (project / ".venv/half").touch()
    # a Python that makes an "environment" whose pip always succeeds
    python = bare_path / "python3"
    python.write_text("""#!/bin/sh
case "$*" in
*"<="*) echo True ;;
*ensurepip*) ;;
--version) echo Python 3.x ;;
*"-m venv"*) mkdir -p "$3/bin" "$3/lib"; cat "$0" >"$3/bin/python"; chmod +x "$3/bin/python" ;;
*purelib*) echo "${0%/bin/python}/lib" ;;
*"-m emu"*) echo "emu runs" ;;
esac
""")
    python.chmod(0o755)
    (bare_path / "chmod").symlink_to(shutil.which("chmod"))
    done = run(project / "scripts/run", "x", PATH=str(bare_path))
    assert (done.returncode, done.stdout) == (0, "emu runs\n")
    assert "setting up .venv" in done.stderr and ".venv is ready" in done.stderr
    assert not (project / ".venv/half").exists()
    assert (project / ".venv.lock").read_text() == ""
    assert (project / ".venv/lib/emu.pth").read_text() == f"{project}\n"
    assert run(project / "scripts/run", "x", PATH=str(bare_path)).stderr == ""


# --- scripts/test ----------------------------------------------------------------------------------------

PRETENDED_PYTEST = """
echo "JIT=$EMU_JIT $*"
case $EMU_JIT-$* in
*" tests/system") echo "{system}" >"$EMU_TEST_TALLY"; exit {system_code} ;;
1-*) echo "{first}" >"$EMU_TEST_TALLY"; exit {first_code} ;;
0-*) echo "{second}" >"$EMU_TEST_TALLY"; exit {second_code} ;;
esac
"""


@pytest.mark.parametrize("command", ["scripts/test", ".ci/run"])
@pytest.mark.parametrize("passes, last, code", [
    (["10 0", 0, "7 0", 0, "2 0", 0], "19 passed, 0 failed", 0),
    (["10 1", 1, "7 0", 0, "2 0", 0], "19 passed, 1 failed", 1),
    (["10 0", 0, "6 1", 1, "2 0", 0], "18 passed, 1 failed", 1),
    (["10 0", 0, "7 0", 0, "1 1", 1], "18 passed, 1 failed", 1),
    (["10 0", 0, "0 0", 5, "2 0", 0], "12 passed, 0 failed", 0),
    (["10 0", 3, "7 0", 0, "2 0", 0], "19 passed, 1 failed", 1),
    (["10 0", 2, "7 0", 0, "2 0", 0], "10 passed, 0 failed", 130),
    (["10 0", 1, "7 0", 0, "2 0", 0], "19 passed, 1 failed", 1),
    (["", 139, "7 0", 0, "2 0", 0], "9 passed, 1 failed", 1),
    (["10 0", 0, "7 0", 0, "", 134], "17 passed, 1 failed", 1),
])
def test_the_last_line_is_the_sum_of_all_passes(project, command, passes, last, code):
    names = ("first", "first_code", "second", "second_code", "system", "system_code")
    make_ready(project, "dev", PRETENDED_PYTEST.format(**dict(zip(names, passes, strict=True))))
    done = run(project / command)
    assert (done.stdout.splitlines()[-1], done.returncode) == (last, code)


@pytest.mark.parametrize("arguments, compiled, interpreted, system", [
    ([], "tests --ignore=tests/system", "tests/unit", "tests/system"),
    (["-k", "ring"], "-k ring tests --ignore=tests/system", "-k ring tests/unit", "-k ring tests/system"),
    (["tests/unit/ring", "-x"], "-x tests/unit/ring", "-x tests/unit/ring", None),
    (["./tests"], "tests --ignore=tests/system", "tests/unit", "tests/system"),
    (["tests/system"], None, None, "tests/system"),
    (["tests/stress"], "tests/stress", None, None),
])
def test_every_pass_gets_the_arguments_that_fit_it(project, arguments, compiled, interpreted, system):
    for folder in ("tests/unit/ring", "tests/system", "tests/stress"):
        (project / folder).mkdir(parents=True)
    make_ready(project, "dev", PRETENDED_PYTEST.format(
        first="1 0", first_code=0, second="1 0", second_code=0, system="1 0", system_code=0))
    lines = [line for line in run(project / "scripts/test", *arguments).stdout.splitlines() if line.startswith("JIT=")]
    common = "-m pytest --continue-on-collection-errors"
    assert lines == [
        f"JIT={jit} {common} {rest}"
        for jit, rest in ((1, compiled), (0, interpreted and f"-m not jit_only {interpreted}"), (1, system)) if rest]
