"""Rules of [policy]: each has a composition that breaks it, with the text that the user sees; what --force may run."""

import pytest

from emu.config import parse_scenario, resolve
from emu.config.policy_rules import POLICY_RULES
from emu.errors import ConfigError

RAW = {"workload.contexts.task": 0.0, "workload.contexts.raw_lock": 0.5, "workload.contexts.hardirq": 0.5}
SOFTIRQ = {"workload.contexts.task": 0.0, "workload.contexts.softirq": 1.0}

BROKEN = [
    ("_pool", {"policy.sources": ["static"]},
     'policy.pool.pages_per_cpu = 0: must be at least 1 when a source is "static"; for example pages_per_cpu = 32'),
    ("_pool", {"policy.sources": ["mempool-raw"]}, 'must be at least 1 when a source is "mempool-raw"'),
    ("_pool", {"policy.pool.pages_per_cpu": 4},
     "policy.pool.pages_per_cpu = 4: must be 0: no source takes from a pool; "
     'remove it, or add "static" or "mempool" or'),
    ("_growth", {"policy.preset": "S4", "policy.pool.grow_pages": 4},
     "policy.pool.grow_pages = 4: must be 0: no source of this policy grows its pool; remove it, or add"),
    ("_growth", {"policy.pool.grow_limit_pages": 4}, "policy.pool.grow_limit_pages = 4: must be 0"),
    ("_growth", {"policy.pool.shrink_after_ms": 4}, "policy.pool.shrink_after_ms = 4: must be 0"),
    ("_growth", {"policy.pool.rescue_pages": 4},
     "policy.pool.rescue_pages = 4: must be 0: no source takes from a rescue reserve"),
    ("_growth", {"policy.preset": "S7", "policy.pool.rescue_pages": 0},
     'policy.pool.rescue_pages = 0: must be at least 1 when a source is "rescue"'),
    ("_growth", {"policy.preset": "S6", "policy.pool.grow_limit_pages": 5},
     "policy.pool.grow_limit_pages = 5: must be above policy.pool.pages_per_cpu = 5, or the pool never grows"),
    ("_growth", {"policy.preset": "S6", "policy.refill.trigger": "none"},
     'policy.refill.trigger = "none": must not be "none" when a pool grows'),
    ("_pools_fit", {"policy.sources": ["static", "mempool"], "policy.pool.pages_per_cpu": 10_000},
     "policy.pool.pages_per_cpu = 10_000: takes 40000 pages for 2 CPUs and 2 pools, more than half of the 65536"),
    ("_pools_fit", {"policy.preset": "S7", "policy.pool.rescue_pages": 20_000},
     "policy.pool.rescue_pages = 20_000: takes 40000 pages, more than half of the 65536 managed pages"),
    ("_pools_fit", {"policy.preset": "S6", "policy.pool.grow_limit_pages": 40_000},
     "policy.pool.grow_limit_pages = 40_000: lets 2 pools grow to 80000 pages, more than the 65536 managed ones"),
    ("_low_stock", {"policy.refill.low_stock_pages": 3},
     'policy.refill.low_stock_pages = 3: must be 0 when policy.refill.trigger = "miss"'),
    ("_low_stock", {"policy.refill.busy_page_us": 3}, "policy.refill.busy_page_us = 3: must be 0"),
    ("_low_stock", {"policy.preset": "S17", "policy.refill.low_stock_pages": 6},
     "policy.refill.low_stock_pages = 6: must be at most kvfree.min_cached_objs = 5"),
    ("_low_stock", {"policy.preset": "S6", "policy.refill.trigger": "low-stock"},
     'policy.refill.trigger = "low-stock": must not be "low-stock" when no source is "cache"'),
    ("_low_stock", {"policy.preset": "S17", "policy.refill.gfp": "kernel"},
     'policy.refill.gfp = "kernel": must not sleep when policy.refill.path = "softirq"'),
    ("_behind_the_last", {"policy.one_arg_sources": ["throttle", "cache"], "workload.one_arg_share": 0.5},
     'policy.one_arg_sources[0] = "throttle": waits until it has a page: sources behind it are never asked'),
    ("_illegal_contexts", {"policy.preset": "S8", **RAW},
     'policy.preset = "S8": source "nowait" takes spinlocks, which sleep on RT: illegal in every call'),
    ("_illegal_contexts", {"policy.sources": ["cache", "atomic"], **RAW},
     'policy.sources[1] = "atomic": source "atomic" takes spinlocks'),
    ("_illegal_contexts", {"policy.preset": "S10", "run.preemption": "none"},
     "run.preempt_count = false: must be true: preemptible() is else always 0"),
    ("_illegal_contexts", {"policy.preset": "S10", **SOFTIRQ},
     'workload.contexts.task = 0.0: must be above 0: source "gate" sleeps, and no other context may'),
    ("_illegal_contexts", {"policy.preset": "S18"},
     "workload.one_arg_share = 0.0: must be above 0: only one-argument calls are throttled"),
    ("_attack", {"policy.preset": "S16"}, 'policy.preset = "S16": is the strategy under attack, and nobody attacks'),
]


def error_of(overrides):
    with pytest.raises(ConfigError) as caught:
        resolve(parse_scenario("", "s.toml", overrides=overrides))
    return str(caught.value)


@pytest.mark.parametrize("rule, overrides, expected", BROKEN)
def test_a_broken_rule_is_worded(rule, overrides, expected):
    assert expected in error_of(overrides)


def test_every_rule_has_a_composition_that_breaks_it():
    assert {rule for rule, _, _ in BROKEN} == {rule.__name__ for rule in POLICY_RULES}


@pytest.mark.parametrize("overrides", [row[1] for row in BROKEN])
def test_force_runs_what_is_safe_and_marks_it_and_nothing_else(overrides):
    message = error_of(overrides)
    if "--force runs it" not in message:
        assert error_of(overrides | {"run.force": True}) == message
        return
    assert all("--force runs it" in line for line in message.splitlines())
    notes = resolve(parse_scenario("", "s.toml", overrides=overrides | {"run.force": True})).notes
    assert sum(note.startswith("forced: ") for note in notes) == len(message.splitlines())
    assert not any("--force runs it" in note for note in notes)
