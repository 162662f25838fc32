"""Rules between keys: each has a scenario that breaks it, with the text that the user sees."""

import pytest

from emu.config import parse_scenario, resolve
from emu.config.rules import RULES
from emu.errors import ConfigError

BROKEN = [
    ("_powers_of_two", {"slab.live_objects": 100},
     "slab.live_objects = 100: must be a power of two; for example 64 or 128"),
    ("_powers_of_two", {"trace.events_per_process": 3}, "trace.events_per_process = 3: must be a power of two"),
    ("_weights", {"slab.object_bytes": [32, 64]},
     "slab.weights = [1.0]: must have as many elements as slab.object_bytes, which has 2; "
     "for example weights = [1, 1]"),
    ("_scheduling", {"processes.page_refill.class": "fifo"},
     'processes.page_refill.priority = 0: must be 1 to 99 when processes.page_refill.class = "fifo"; '
     "for example priority = 1"),
    ("_scheduling", {"processes.mutator.priority": 5},
     'processes.mutator.priority = 5: must be 0 when processes.mutator.class = "other"; use nice, or class = "fifo"'),
    ("_scheduling", {"processes.reclaim.class": "idle", "processes.reclaim.nice": 5},
     'processes.reclaim.nice = 5: must be 0 when processes.reclaim.class = "idle"'),
    ("_cores", {"cpus.cores": []}, 'cpus.cores = []: must name at least one core; for example cores = "auto"'),
    ("_cores", {"cpus.housekeeping": ""}, 'cpus.housekeeping = "": must name at least one core'),
    ("_marks", {"memory.min_free_kbytes": 200_000},
     "memory.min_free_kbytes = 200_000: puts the HIGH mark at 75000 pages, above half of memory.managed_pages; "
     "lower it"),
    ("_marks", {"memory.watermark_scale_factor": 3000}, "memory.watermark_scale_factor = 3000: puts the HIGH mark at"),
    ("_pcp", {"memory.pcp_high": 90},
     'memory.pcp_high = 90: is tuned by itself when memory.pcp_rule = "v6.7"; remove it, or set pcp_rule = "v5.9"'),
    ("_pcp", {"memory.pcp_high": 5, "memory.pcp_rule": "v5.9"},
     "memory.pcp_high = 5: must be 0 or at least memory.pcp_batch, which is 15"),
    ("_room", {"policy.preset": "S4", "policy.pool.pages_per_cpu": 20_000},
     "policy.pool.pages_per_cpu = 20_000: takes 40000 pages for 2 CPUs, more than half of the 65536 managed pages"),
    ("_room", {"kvfree.min_cached_objs": 65_536}, "kvfree.min_cached_objs = 65_536: takes 131072 pages"),
    ("_room", {"cpus.count": 512, "slab.live_objects": 4096, "slab.object_bytes": [2048]},
     "slab.live_objects = 4096: takes 1048576 pages"),
    ("_cache", {"kvfree.bnode_records": 510},
     "kvfree.bnode_records = 510: must be at most 507 when kvfree.polled_cookies = true"),
    ("_cache", {"policy.preset": "S1", "kvfree.min_cached_objs": 5},
     'kvfree.min_cached_objs = 5: must be 0 when no source is "cache"'),
    ("_cache", {"policy.preset": "S1", "kvfree.boot_fill": True}, "kvfree.boot_fill = true: has nothing to fill"),
    ("_refill", {"policy.preset": "S1", "policy.refill.trigger": "miss"},
     'policy.refill.trigger = "miss": must be "none" when no source is "cache": the worker fills that cache'),
    ("_refill", {"kvfree.min_cached_objs": 0, "policy.refill.trigger": "miss"},
     'policy.refill.trigger = "miss": must be "none" when kvfree.min_cached_objs = 0'),
    ("_refill", {"policy.refill.delay_jiffies": 1},
     'policy.refill.delay_jiffies = 1: must be 0 when policy.refill.path = "hrtimer"; '
     'remove it, or set path = "delayed"'),
    ("_refill", {"policy.refill.hrtimer_cost_ns": 1, "policy.refill.path": "direct"},
     'policy.refill.hrtimer_cost_ns = 1: must be 0 when policy.refill.path = "direct"'),
    ("_rate", {"workload.kind": "poisson"},
     'workload.rate_per_s = 0.0: must be above 0 when workload.kind = "poisson"; for example rate_per_s = 100_000'),
    ("_rate", {"workload.rate_per_s": 5}, 'workload.rate_per_s = 5.0: must be 0 when workload.kind = "flood"'),
    ("_contexts", {"workload.contexts.softirq": 0.2},
     "workload.contexts: shares must sum to 1, and sum to 1.2; for example task = 0.8"),
    ("_contexts", {"workload.contexts.softirq": 0.9, "workload.contexts.hardirq": 0.9}, "sum to 2.8; lower the others"),
    ("_contexts", {"workload.contexts.task": 0.25, "workload.contexts.softirq": 0.75, "workload.one_arg_share": 0.5},
     "workload.one_arg_share = 0.5: must be at most workload.contexts.task = 0.25: a one-argument call may sleep"),
    ("_rcuscale", {"workload.kind": "rcuscale", "workload.rcuscale.threads": 3},
     "workload.rcuscale.threads = 3: must be at most cpus.count = 2: a mutator is one CPU"),
    ("_rcuscale", {"workload.kind": "rcuscale", "workload.one_arg_share": 0.2},
     'workload.one_arg_share = 0.2: is 0.0 when workload.rcuscale.single_double = "double"; remove it'),
    ("_rcuscale",
     {"workload.kind": "rcuscale", "workload.one_arg_share": 0.0, "workload.rcuscale.single_double": "mixed"},
     'workload.one_arg_share = 0.0: is 0.5 when workload.rcuscale.single_double = "mixed"'),
    ("_rcuscale", {"workload.kind": "rcuscale", "slab.object_bytes": [32], "workload.rcuscale.mult": 3},
     "slab.object_bytes = [32]: is [96] when workload.rcuscale.mult = 3; remove it, and choose mult"),
    ("_rcuscale", {"workload.kind": "rcuscale", "slab.object_bytes": [32, 64], "slab.weights": [1, 1]},
     "slab.object_bytes = [32, 64]: is [32] when workload.rcuscale.mult = 1"),
    ("_replay", {"workload.kind": "replay"},
     'workload.replay.trace = "": must name a recorded trace when workload.kind = "replay"'),
    ("_replay", {"workload.kind": "replay", "workload.replay.trace": "gone.gz"},
     'workload.replay.trace = "gone.gz": no such file seen from the scenario\'s folder'),
    ("_replay", {"workload.kind": "replay", "workload.replay.trace": "a\0b"}, "no such file"),
    ("_replay", {"workload.kind": "replay", "workload.replay.trace": "x" * 5000}, "no such file"),
    ("_replay", {"workload.kind": "replay", "workload.replay.event": ""},
     'workload.replay.event = "": must name an event'),
    ("_sync_only", {"policy.preset": "S20"},
     'workload.one_arg_share = 0.0: must be above 0 when policy.preset = "S20"'),
]


def error_of(overrides):
    with pytest.raises(ConfigError) as caught:
        resolve(parse_scenario("", "s.toml", overrides=overrides))
    return str(caught.value)


@pytest.mark.parametrize("rule, overrides, expected", BROKEN)
def test_a_broken_rule_is_worded(rule, overrides, expected):
    assert expected in error_of(overrides)


def test_every_rule_has_a_scenario_that_breaks_it():
    ours = {rule.__name__ for rule in RULES if rule.__module__ == "emu.config.rules"}  # *_keys.py have their own tests
    assert {rule for rule, _, _ in BROKEN} == ours


def test_all_broken_rules_come_at_once():
    lines = error_of({"slab.live_objects": 100, "policy.pool.grow_pages": 1, "workload.rate_per_s": 1}).splitlines()
    assert [line.split()[1] for line in lines] == ["slab.live_objects", "policy.pool.grow_pages", "workload.rate_per_s"]


@pytest.mark.parametrize(
    "overrides, expected",
    [
        ({"policy.sources": ["cach"]}, 'policy.sources[0] = "cach": must be one of "cache", "pcp-lockless", "static", '
                                       '"mempool", "mempool-raw", "grown", "rescue", "nowait", "atomic", "gate", '),
        ({"policy.sources": ["cach"]}, 'did you mean "cache"?'),
        ({"policy.sources": ["qqq"]}, 'for example "cache"'),
        ({"policy.sources": ["cache", "cache"]}, 'policy.sources[1] = "cache": stands twice in the list'),
        ({"policy.sources": ["direct"]}, 'policy.sources[0] = "direct": may sleep, which a two-argument call must not; '
                                         "name it in policy.one_arg_sources"),
        ({"policy.sources": ["throttle"]}, 'policy.sources[0] = "throttle": may sleep, which a two-argument call must'),
        ({"policy.preset": "worker-cahce"}, 'did you mean "worker-cache"?'),
        ({"policy.preset": "qqqqqq"}, 'must be one of "epoch", "S1"'),
    ],
)
def test_a_name_that_cannot_be_used_is_worded(overrides, expected):
    assert expected in error_of(overrides)


def notes_of(**overrides):
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return resolve(parse_scenario("", overrides=dotted)).notes


def test_what_is_not_read_is_remarked():
    assert notes_of() == ()
    assert notes_of(workload__burst__calls=5) == ('[workload.burst] is not read: workload.kind = "flood"',)
    assert notes_of(workload__burst__calls=5, workload__kind="burst") == ()
    assert "resched_every_calls is not read" in notes_of(workload__resched_every_calls=5)[0]
    assert notes_of(workload__resched_every_calls=5, run__preemption="none") == ()
    timed = notes_of(workload__kind="burst", workload__burst__period_ms=50, workload__burst__gap_ms=5)
    assert timed == ("workload.burst.gap_ms is not read: workload.burst.period_ms sets the schedule",)


def test_a_rate_beyond_the_cost_of_a_call_is_remarked():
    asked = {"workload__kind": "constant", "workload__rate_per_s": 2e6}
    assert "calls will be late" in notes_of(**asked, workload__call_cost_ns=600)[0]
    assert notes_of(**asked, workload__call_cost_ns=400) == ()


def test_simplifications_are_remarked():
    assert notes_of(run__epoch="E59", run__preemption="rt")[0].startswith("E59 with rt: ")
    assert notes_of(run__epoch="E61") == ()
    assert "source nowait is left out" in notes_of(run__epoch="E59", run__preemption="rt")[0]
