"""The table for readers: whole, narrow, with the origin of every value."""

from emu.config import all_keys, explain, parse_scenario, resolve


def explained(**overrides):
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return explain(resolve(parse_scenario("", overrides=dotted)))


def test_every_key_has_its_line_with_value_and_origin():
    lines = [line.split() for line in explained(run__hz=1000).splitlines()]
    assert ["hz", "=", "1000", "user"] in lines
    assert ["bnode_records", "=", "507", "epoch"] in lines
    wanted = sorted(key.leaf for key in all_keys().values())
    leaves = sorted(line[0] for line in lines if len(line) > 2 and line[1] == "=" and line[0] in wanted)
    assert leaves == wanted


def test_no_line_is_wider_than_a_terminal():
    text = explained(
        question="why " * 100, cpus__cores=list(range(100)), run__epoch="E59", run__preemption="rt",
        slab__object_bytes=list(range(32, 160, 8)), slab__weights=list(range(1, 17)),
    )
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "why why" in text and "... user" in " ".join(text.split())


def test_notes_stand_at_the_end():
    assert "\nnote: E59 with rt: " in explained(run__epoch="E59", run__preemption="rt")
    assert "note:" not in explained()


def test_nothing_in_it_acts_on_a_terminal():
    assert "\x1b" not in explained(question="\x1b[2J")
