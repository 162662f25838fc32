"""The command line from outside: answers at once where it can, and words every wrong input in one message."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emu import __version__
from emu.cli import main
from emu.results import blank_record, write_result

PROJECT = Path(__file__).resolve().parents[2]
HEAVY = ("numba", "llvmlite", "numpy", "emu.launch", "emu.arch")


def emu(*arguments, **options):
    """Run `emu ARGUMENTS`; no traceback ever."""
    done = subprocess.run([sys.executable, "-m", "emu", *map(str, arguments)], cwd=PROJECT, capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, env=os.environ | {"COLUMNS": "80"}, **options)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def refused(*arguments):
    """emu(), which must refuse with exit code 2 and say nothing on stdout; its message lines."""
    done = emu(*arguments)
    assert (done.returncode, done.stdout) == (2, ""), done
    lines = done.stderr.splitlines()
    assert lines[0].startswith("emu: ")
    return [lines[0].removeprefix("emu: "), *lines[1:]]


def loaded_by(*arguments):
    """Modules of HEAVY that a command loads."""
    script = (f"import sys; from emu.cli import main\n"
              f"try: main({list(map(str, arguments))!r})\n"
              f"except SystemExit: pass\n"
              f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True)
    return done.stderr.splitlines()[-1]


@pytest.fixture
def scenario(tmp_path):
    """scenario(text): a scenario file of this text."""
    def write(text):
        path = tmp_path / "scenario.toml"
        path.write_text(text)
        return path
    return write


@pytest.mark.parametrize("arguments", [
    ["--help"], ["run", "--help"], ["--version"], ["topology"], ["report", "no-such-file"],
    ["run", "configs/default.toml", "--dry-run"], ["run", "no-such-file.toml"],
])
def test_light_commands_load_no_compiler(arguments):
    assert loaded_by(*arguments) == "[]"


def test_help_names_every_command_and_where_to_start():
    done = emu("--help")
    assert done.returncode == 0 and done.stderr == ""
    for word in ("run", "report", "topology", "bench", "configs/first.toml"):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_version_is_the_package_s():
    assert emu("--version").stdout == f"emu {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run"], ["run", "a.toml", "--fast"], ["report"]])
def test_wrong_usage_is_exit_code_2_with_the_usage(arguments):
    done = emu(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("usage: emu")


def test_topology_shows_the_cores_of_this_host():
    done = emu("topology")
    assert (done.returncode, done.stderr) == (0, "")
    first_words = [line.split()[:1] for line in done.stdout.splitlines()]
    assert all([str(core)] in first_words for core in os.sched_getaffinity(0)), done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_dry_run_prints_every_value_and_its_origin_and_runs_nothing(tmp_path):
    done = emu("run", "configs/default.toml", "--dry-run", "--set", "run.hz=1000", "-o", tmp_path / "r.emu")
    assert (done.returncode, done.stderr) == (0, "")
    assert any(line.split()[:3] == ["hz", "=", "1000"] for line in done.stdout.splitlines())
    assert list(tmp_path.iterdir()) == []


WRONG = {
    "unknown key": ("[run]\nduraton_ms = 5\n", "run.duraton_ms", "duration_ms"),
    "unknown section": ("[rum]\nhz = 250\n", "rum", "run"),
    "wrong type": ('[run]\nduration_ms = "long"\n', 'run.duration_ms = "long"', "must be an integer from 100 to"),
    "out of range": ("[run]\nduration_ms = 1\n", "run.duration_ms = 1", "100"),
    "not a choice": ('[run]\nepoch = "E99"\n', 'run.epoch = "E99"', "E612"),
    "unknown policy": ('[policy]\npreset = "S99"\n', 'policy.preset = "S99"', "S3"),
    "impossible policy": ('[policy]\npreset = "S20"\n', "workload.one_arg_share = 0.0", "one_arg_share = 1.0"),
    "source that sleeps": ('[policy]\nsources = ["direct"]\n', 'policy.sources[0] = "direct"', "one_arg_sources"),
    "shares that do not add up": ("[workload.contexts]\ntask = 0.5\n", "workload.contexts", "1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_scenario_names_file_key_value_rule_and_way_out(scenario, case):
    text, named, way_out = WRONG[case]
    path = scenario(text)
    (line,) = refused("run", path)
    assert line.startswith(f"{path}: ")
    assert named in line and way_out in line
    assert ";" in line, "the way out stands behind a semicolon"


def test_all_problems_are_told_at_once(scenario):
    lines = refused("run", scenario('[run]\nhz = 7\nseed = -1\n[cpus]\ncount = 0\n'))
    assert len(lines) == 3
    assert [key for key in ("run.hz", "run.seed", "cpus.count") if any(key in line for line in lines)] == [
        "run.hz", "run.seed", "cpus.count"]


def test_toml_error_names_file_and_line(scenario):
    path = scenario("[run]\nhz = = 250\n")
    (line,) = refused("run", path)
    assert line.startswith(f"{path}: ") and "line 2" in line


@pytest.mark.parametrize("path", ["no-such-file.toml", ".", "/dev/null/x.toml"])
def test_scenario_that_cannot_be_read_is_named(path):
    (line,) = refused("run", path)
    assert line.startswith(f"{path}: ")


def test_scenario_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "binary.toml"
    path.write_bytes(bytes(range(256)))
    (line,) = refused("run", path)
    assert line.startswith(f"{path}: ")


@pytest.mark.parametrize(("override", "named"), [
    ("run.hz", "run.hz"), ("=5", "=5"), ("run.hz=7", "run.hz"), ("run.hzz=250", "run.hzz"), ("run=5", "run"),
    ("run.hz=fast", "fast"),
])
def test_wrong_override_is_named(override, named):
    (line,) = refused("run", "configs/default.toml", "--set", override)
    assert "--set" in line and named in line


def test_recording_that_is_missing_is_named_with_its_key(scenario):
    path = scenario('[workload]\nkind = "replay"\n[workload.replay]\ntrace = "gone.gz"\n')
    assert "gone.gz" in refused("run", path)[0]


def test_cores_that_do_not_exist_are_refused(scenario):
    (line,) = refused("run", scenario('[cpus]\ncount = 1\ncores = "60000"\n'))
    assert "60000" in line


@pytest.mark.parametrize("place", ["", "folder/below/a-file/x.emu"])
def test_output_that_cannot_be_is_refused_before_anything_runs(tmp_path, place):
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "folder" / "below" / "a-file").touch()
    (line,) = refused("run", "configs/default.toml", "-o", tmp_path / place)
    assert "--output" in line and str(tmp_path) in line


def damaged(data):
    return data[:100] + bytes([data[100] ^ 1]) + data[101:]


@pytest.mark.parametrize("damage", [
    lambda data: b"", lambda data: data[:5], lambda data: data[:-1], damaged, lambda data: b"\x00" * 1000,
    lambda data: data + b"x", lambda data: b"# a scenario\n",
], ids=["empty", "five bytes", "cut", "flipped bit", "zeros", "longer", "text"])
def test_report_of_a_corrupt_file_is_one_message(tmp_path, damage):
    path = tmp_path / "result.emu"
    write_result(blank_record(), path)
    path.write_bytes(damage(path.read_bytes()))
    (line,) = refused("report", path)
    assert line.startswith(f"{path}: ") and ";" in line


@pytest.mark.parametrize("path", ["no-such.emu", "configs"])
def test_report_of_what_is_no_file_is_one_message(path):
    (line,) = refused("report", path)
    assert line.startswith(f"{path}: cannot be read")


def test_report_of_the_emptiest_record_is_text(tmp_path):
    write_result(blank_record(), tmp_path / "r.emu")
    done = emu("report", tmp_path / "r.emu")
    assert done.returncode == 0 and done.stdout.startswith("INCOMPLETE")


def test_reader_that_goes_away_is_no_error(tmp_path):
    write_result(blank_record(), tmp_path / "r.emu")
    command = f'"{sys.executable}" -m emu report "{tmp_path}/r.emu" | true; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], cwd=PROJECT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_main_returns_the_exit_code(capsys):
    assert main(["report", "no-such.emu"]) == 2
    assert capsys.readouterr().err.startswith("emu: no-such.emu: cannot be read")


def test_keyboard_interrupt_is_worded(monkeypatch, capsys):
    def interrupted(_path):
        raise KeyboardInterrupt

    monkeypatch.setattr("emu.results.is_comparison", interrupted)
    assert main(["report", "x"]) == 130
    assert capsys.readouterr().err == "emu: stopped\n"
