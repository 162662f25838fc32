"""What the report says about locks is what was measured."""

from emu.report.trust import hold_mean


def test_hold_times_that_nobody_took_are_not_shown_as_measured():
    row = {"name": "zone->lock", "acquired": 10, "hold_ns": 5000, "hold_max_ns": 900}
    assert hold_mean(row).split() == ["500", "ns"]
    assert hold_mean(row | {"hold_ns": 0, "hold_max_ns": 0}) == "-"
    assert hold_mean(row | {"name": "krc->lock"}) == "-"
