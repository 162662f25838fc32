"""emu compare as a user starts it."""

from emu.results import read_comparison, read_result

SMALL = ("--set", "run.duration_ms=200", "--set", "memory.managed_pages=16384")


def test_two_policies_take_turns_and_make_one_table(emu, tmp_path):
    output = tmp_path / "both.emu"
    program = emu.call("compare", "configs/default.toml", "--policies", "S1,S3", "--repeats", "2", *SMALL,
                       "-o", str(output))
    assert program.code == 0, program.told()
    made = read_comparison(output)
    assert [(row["arm"], row["repeat"], row["verdict"]) for row in made["runs"]] == [
        (0, 0, "VALID"), (1, 0, "VALID"), (0, 1, "VALID"), (1, 1, "VALID")]
    records = [read_result(row["file"]) for row in made["runs"]]
    assert [record["scenario"]["resolved"]["policy"]["preset"] for record in records] == ["S1", "S3", "S1", "S3"]
    starts = [record["start_ns"] for record in records]
    assert starts == sorted(starts)
    assert program.out.startswith("COMPARED: 4 of 4 runs VALID")
    assert max(map(len, program.out.splitlines())) <= 80
    again = emu.call("report", str(output))
    assert (again.code, again.out) == (0, program.out)


def test_ctrl_c_keeps_what_was_measured(emu, tmp_path):
    output = tmp_path / "both.emu"
    program = emu.start("compare", "configs/default.toml", "--policies", "S1,S3", "--repeats", "50", *SMALL,
                        "-o", str(output))
    program.wait_for(lambda: program.said("run 4 of 100"), "the fourth run")
    program.signal(2)
    assert program.finish() == 130, program.told()
    assert "; stopped by SIGINT" in program.out
    assert sum(row["verdict"] == "VALID" for row in read_comparison(output)["runs"]) >= 3


def test_a_mistake_in_one_arm_costs_no_run(emu, tmp_path):
    program = emu.call("compare", "configs/default.toml", "--policies", "S1,S99", *SMALL, "-o", str(tmp_path / "c.emu"))
    assert program.code == 2
    assert "S99" in program.err and "run 1 of" not in program.err
