"""A page source of the user's own in a whole run: the worked example, and what becomes of a bad one."""

BAD = """\
from emu.policy.api import NO_PAGE, from_pcp, words_of


def take_page(seg, me, cpu, stock, now):
    if seg[words_of(seg, cpu)] == 0:
        seg[words_of(seg, cpu)] = from_pcp(seg, me, cpu, stock, now)
    return seg[words_of(seg, cpu)]
"""
SHORT = ("memory.managed_pages=16384", "run.duration_ms=400")


def scenario(folder, text):
    """A scenario beside a file with such a source; returns its path."""
    (folder / "mine.py").write_text(text)
    (folder / "mine.toml").write_text('[policy]\nsources = ["mine.py:take_page"]\n')
    return str(folder / "mine.toml")


def test_the_worked_example_supplies_pages(emu):
    record = emu.valid("configs/my_policy.toml", *SHORT)
    names = record["counters"]["names"]
    taken = sum(row[names.index("user_hit")] for row in record["counters"]["per_process"].values())
    assert taken > 0 and record["pools"]["shelf"]["takes"] > 0


def test_a_page_that_it_does_not_own_stops_the_run_and_names_file_and_line(emu, tmp_path):
    program = emu.run(scenario(tmp_path, BAD), *SHORT)
    assert program.code == 1, program.told()
    reason = program.record["verdict"]["reasons"][0]
    assert reason.startswith("foreign_page in mutator/")
    assert f'source "mine.py:take_page" ({tmp_path}/mine.py:4) returned page ' in reason


def test_what_does_not_compile_is_said_before_any_process_starts(emu, tmp_path):
    program = emu.run(scenario(tmp_path, BAD.replace("== 0", "== nowhere")), *SHORT)
    assert program.code == 2
    assert f"{tmp_path}/mine.py:5: take_page() does not compile: " in program.err, program.told()
