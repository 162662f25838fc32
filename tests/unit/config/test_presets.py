"""The tables hold what the kernels did, and every row is whole."""

import msgspec
import pytest

from emu.config import EPOCHS, POLICIES, SOURCES, all_keys, parse_scenario, resolve, strategies
from emu.config.check import check
from emu.config.presets import find_policy
from emu.errors import ConfigError

READY_EPOCHS = ["E59", "ERFC", "E511", "E61", "E612"]

#                 E59           ERFC                        E511        E61                     E612
KNOWN = {
    "memory.pcp_rule": ("v5.9", "v5.9", "v5.9", "v6.1", "v6.7"),
    "memory.reserve_rule": ("v5.9", "v5.9", "v5.9", "v5.9", "v6.3"),
    "memory.drain_rule": ("work", "work", "work", "remote", "remote"),
    "kvfree.bnode_records": (510, 510, 510, 510, 507),
    "kvfree.min_cached_objs": (2, 5, 5, 5, 5),
    "kvfree.boot_fill": (True, False, False, False, False),
    "kvfree.drain_ms": (20, 20, 20, 5000, 5000),
    "kvfree.flood_drain_jiffies": (0, 0, 0, 1, 1),
    "kvfree.polled_cookies": (False, False, False, False, True),
    "kvfree.attach": ("per-channel", "per-channel", "per-channel", "per-channel", "whole-slot"),
    "kvfree.work_bound": (True, True, True, True, False),
    "kvfree.freed_page_to": ("worker", "owner", "owner", "owner", "owner"),
    "kvfree.shrinker": ("queued", "queued", "queued", "queued-and-cached", "queued-and-cached"),
    "policy.sources": (["cache", "nowait"], ["cache", "pcp-lockless"], ["cache"], ["cache"], ["cache"]),
    "policy.one_arg_sources": (
        ["cache", "nowait"], ["cache", "pcp-lockless"], ["cache"], ["cache", "direct"], ["cache", "direct"],
    ),
    "policy.refill.trigger": ("none", "miss", "miss", "miss", "miss"),
    "policy.refill.path": ("hrtimer", "delayed", "hrtimer", "hrtimer", "hrtimer"),
    "policy.refill.delay_jiffies": (0, 1, 0, 0, 0),
    "policy.refill.bound": (True, True, True, True, True),
    "policy.refill.gfp": ("nowait", "nowait", "kernel", "kernel-noretry", "kernel-noretry"),
    "policy.refill.stop_on_failure": (False, False, False, True, True),
    "policy.refill.count_from": ("zero", "zero", "zero", "zero", "present"),
    "policy.refill.backoff_ms": (0, 0, 0, 5000, 5000),
    "policy.pool.pages_per_cpu": (0, 0, 0, 0, 0),
}


def resolved_of(**overrides):
    return resolve(parse_scenario("", overrides={key.replace("__", "."): value for key, value in overrides.items()}))


def value_at(resolved, dotted):
    here = msgspec.to_builtins(resolved)
    for part in dotted.split("."):
        here = here[part]
    return list(here) if isinstance(here, tuple) else here


@pytest.mark.parametrize("dotted", KNOWN)
def test_an_epoch_has_the_kernels_value(dotted):
    found = [value_at(resolved_of(run__epoch=epoch), dotted) for epoch in READY_EPOCHS]
    assert found == list(KNOWN[dotted])


@pytest.mark.parametrize("name", EPOCHS)
def test_an_epoch_fills_exactly_what_has_neither_default_nor_formula(name):
    by_formula = {
        "memory.min_free_kbytes", "memory.watermark_boost_factor", "memory.pcp_batch", "memory.pcp_high",
        "rcu.jiffies_till_first_fqs", "rcu.jiffies_till_next_fqs", "vmscan.kswapd", "vmscan.direct_reclaim",
        "policy.refill.amount", "run.preempt_count", "policy.refill.low_stock_pages", "policy.refill.busy_page_us",
        "policy.pool.grow_pages", "policy.pool.grow_limit_pages", "policy.pool.shrink_after_ms",
        "policy.pool.rescue_pages",
    }
    left_open = {key for key, row in all_keys().items() if row.default is None}
    assert set(EPOCHS[name].values) == left_open - by_formula
    for dotted, value in EPOCHS[name].values.items():
        document = list(value) if isinstance(value, tuple) else value
        for part in reversed(dotted.split(".")):
            document = {part: document}
        assert check(document)[0] == []


def test_sources_say_what_they_do():
    assert {name for name, rule in SOURCES.items() if rule.may_spin} == {
        "nowait", "atomic", "direct", "mempool", "throttle"}
    assert {name for name, rule in SOURCES.items() if rule.may_sleep} == {"direct", "mempool", "gate", "throttle"}
    assert {name for name, rule in SOURCES.items() if rule.one_arg_only} == {"direct", "throttle"}
    assert {name for name, rule in SOURCES.items() if not rule.floor} == {
        "cache", "pcp-lockless", "static", "mempool-raw", "grown", "rescue", "shared-reserve"}
    assert {name: rule.floor for name, rule in SOURCES.items() if rule.floor not in (0.0, 1.0)} == {"atomic": 0.375}
    assert {name for name, rule in SOURCES.items() if rule.uses_pool} == {
        "static", "mempool", "mempool-raw", "grown", "shared-reserve"}


def test_every_source_is_built_and_every_strategy_has_its_words():
    from emu.policy import SOURCE_IDS

    assert set(SOURCE_IDS) == set(SOURCES)
    assert list(strategies.STRATEGIES) == list(POLICIES)


def test_policies_name_known_sources_and_epochs_only():
    assert list(POLICIES) == ["epoch", *(f"S{n}" for n in range(1, 23))]
    for row in POLICIES.values():
        assert {*(row.sources or ()), *(row.one_arg or ())} <= set(SOURCES)
        assert set(row.values) <= set(all_keys())
        assert row.refill_from in ("", "epoch", *EPOCHS)
        assert find_policy(row.name) is find_policy(row.title) is row


#           sources                        trigger pool
STRATEGIES = {
    "S1": (("pcp-lockless",), "none", 0),
    "S2": (("cache", "pcp-lockless"), "miss", 0),
    "S3": (("cache",), "miss", 0),
    "S4": (("static",), "none", 32),
    "S8": (("cache", "nowait"), "none", 0),
    "S9": (("cache", "atomic"), "none", 0),
    "S5": (("mempool",), "none", 16),
    "S6": (("grown",), "miss", 5),
    "S7": (("grown", "rescue"), "miss", 5),
    "S10": (("gate", "cache"), "none", 0),
    "S11": (("cache", "no-locks"), "none", 0),
    "S12": (("cache", "no-locks-late"), "none", 0),
    "S13": (("cache", "gfp-zero"), "none", 0),
    "S14": (("cache", "freelist-copy"), "none", 0),
    "S15": (("shared-reserve",), "none", 16),
    "S17": (("cache",), "low-stock", 0),
    "S19": ((), "none", 0),
    "S21": (("cache", "trylock"), "none", 0),
}


@pytest.mark.parametrize("epoch", READY_EPOCHS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_is_its_composition_in_every_epoch(name, epoch):
    resolved = resolved_of(run__epoch=epoch, policy__preset=name)
    policy, kvfree = resolved.policy, resolved.kvfree
    assert (policy.sources, policy.refill.trigger, policy.pool.pages_per_cpu) == STRATEGIES[name]
    assert (kvfree.min_cached_objs > 0) == ("cache" in policy.sources)
    direct = epoch in ("E61", "E612", "E618") and name not in ("S5", "S10", "S19")
    assert policy.one_arg_sources == policy.sources + (("direct",) if direct else ())
    assert kvfree.bnode_records == EPOCHS[epoch].values["kvfree.bnode_records"]


def test_a_worker_strategy_takes_the_epochs_refill_or_else_a_kernels():
    assert resolved_of(run__epoch="E612", policy__preset="S3").policy.refill.count_from == "present"
    assert resolved_of(run__epoch="E61", policy__preset="S2").policy.refill.gfp == "kernel-noretry"
    borrowed = resolved_of(run__epoch="E59", policy__preset="S3").policy.refill
    assert (borrowed.path, borrowed.gfp, borrowed.stop_on_failure) == ("hrtimer", "kernel", False)
    rfc = resolved_of(run__epoch="E59", policy__preset="S2").policy.refill
    assert (rfc.path, rfc.gfp, rfc.delay_jiffies, rfc.delay_ns) == ("delayed", "nowait", 1, 4_000_000)


def test_a_strategy_may_be_called_by_its_name():
    assert resolved_of(policy__preset="worker-cache").policy == resolved_of(policy__preset="S3").policy


def test_list_only_and_sync_only_have_no_source_at_all():
    resolved = resolved_of(policy__preset="S20", workload__one_arg_share=1.0)
    assert resolved.policy.sources == resolved.policy.one_arg_sources == ()


def test_the_epoch_of_sheaves_and_its_strategy_have_sheaves_and_no_other_has():
    assert resolved_of(run__epoch="E618").slab.sheaf_capacity == 32
    assert resolved_of(run__epoch="E612").slab.sheaf_capacity == 0
    slab = resolved_of(run__epoch="E612", policy__preset="S22").slab
    assert (slab.sheaf_capacity, slab.sheaf_sizes, slab.cache_bytes) == (32, (32,), (32, 320))


def test_an_rt_kernel_has_no_sheaves_and_refuses_to_be_given_some():
    resolved = resolved_of(run__epoch="E618", run__preemption="rt")
    assert resolved.slab.sheaf_capacity == 0
    assert any("sheaves are off" in note for note in resolved.notes)
    with pytest.raises(ConfigError, match="the kernel skips sheaves there"):
        resolved_of(run__preemption="rt", slab__sheaf_capacity=32)


def test_a_size_with_sheaves_is_a_size_of_the_load():
    with pytest.raises(ConfigError, match=r"slab.sheaf_sizes\[0\]"):
        resolved_of(run__epoch="E618", slab__sheaf_sizes=[64])


def test_on_rt_the_kernel_of_v59_goes_straight_to_the_fallback():
    resolved = resolved_of(run__epoch="E59", run__preemption="rt")
    assert resolved.policy.sources == resolved.policy.one_arg_sources == ("cache",)
    assert resolved_of(run__epoch="E61", run__preemption="rt").policy.one_arg_sources == ("cache", "direct")
    chosen = resolved_of(run__epoch="E59", run__preemption="rt", policy__preset="S8")
    assert chosen.policy.sources == ("cache", "nowait")
