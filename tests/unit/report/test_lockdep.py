"""The report tells of violations with the locks that were held, and is silent when there was none."""

from emu.report.lockdep import lockdep
from emu.report.view import View


def view(counters, splats=()):
    return View({"counters": {"names": list(counters), "per_process": {"mutator/0": list(counters.values())}},
                 "lockdep": {"enabled": True, "on_violation": "auto", "preempt_count": True, "splats": list(splats)}})


def test_nothing_wrong_nothing_said():
    assert lockdep(view({"self_deadlock": 0}), 80) == []


def test_a_record_without_the_part_says_nothing():
    assert lockdep(View({"counters": {"names": ["self_deadlock"], "per_process": {"a": [1]}}}), 80) == []


def test_the_first_of_a_kind_is_told_with_the_stack():
    splat = {"kind": "self-deadlock", "time_ns": 204_000_000, "process": "mutator/1", "cpu": 1,
             "context": "task_atomic",
             "wanted": "zone->lock", "wanted_type": "spinlock",
             "held": [{"name": "zone->lock", "type": "spinlock"}, {"name": "krc->lock", "type": "raw"}]}
    lines = lockdep(view({"self_deadlock": 8, "wait_ctx_violation": 1}, [splat]), 80)
    text = " ".join(line.strip() for line in lines).replace("\xa0", " ")
    assert "1 invalid wait context, 8 self-deadlocks" in text
    assert "first self-deadlock at 204 ms: mutator/1, CPU 1, context task_atomic" in text
    assert "wanted zone->lock (spinlock), holding zone->lock (spinlock), then krc->lock (raw)" in text
    assert all(len(line) <= 80 for line in lines)
