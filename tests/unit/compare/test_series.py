"""A series is resolved before it starts; its rows tell what became of each run."""

import pytest

from emu.compare import arms_of
from emu.compare.series import prepare, repeat_command
from emu.errors import ConfigError

SCENARIO = '[run]\nduration_ms = 200\nseed = 40\n[processes.mutator]\nnice = 5\n'


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "one.toml"
    file.write_text(SCENARIO)
    return str(file)


def test_each_round_has_its_seed_and_each_run_its_file(path, tmp_path):
    jobs = prepare(path, arms_of("S1,S3"), 2, {"cpus.count": 1}, tmp_path)
    assert [(job.name, job.repeat, job.resolved.run.seed) for job in jobs] == [
        ("S1", 0, 40), ("S3", 0, 40), ("S1", 1, 41), ("S3", 1, 41)]
    assert [job.output.name for job in jobs] == ["00-S1-1.emu", "01-S3-1.emu", "00-S1-2.emu", "01-S3-2.emu"]
    assert all(job.resolved.cpus.count == 1 for job in jobs)


def test_every_arm_that_cannot_be_is_named_before_anything_runs(path, tmp_path):
    with pytest.raises(ConfigError) as caught:
        prepare(path, arms_of(None, ["run.hz=250,251,252"]), 2, {}, tmp_path)
    assert "hz=251" in str(caught.value) and "hz=252" in str(caught.value)


def test_the_command_of_a_run_repeats_it(path, tmp_path):
    job = prepare(path, arms_of(None, ['policy.sources=["cache"],["cache","nowait"]']), 1,
                  {"processes.mutator.class": "batch"}, tmp_path)[1]
    assert repeat_command(job, ["emu", "run"]) == [
        "emu", "run", path, "--set", 'policy.sources=["cache","nowait"]', "--set", "processes.mutator.class=batch",
        "--set", "run.seed=40"]
