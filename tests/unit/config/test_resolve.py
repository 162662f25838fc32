"""Resolution: complete, concrete, deterministic, and every value knows where it comes from."""

import json
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.config import EPOCHS, POLICIES, all_keys, as_record, parse_scenario, resolve
from emu.config.resolved import flatten
from emu.errors import ConfigError

CHOICES = {
    "run.epoch": list(EPOCHS),
    "run.hz": [100, 250, 300, 1000],
    "run.preemption": ["none", "voluntary", "full", "rt"],
    "policy.preset": list(POLICIES),
    "cpus.count": [1, 2, 8, 512],
    "memory.managed_pages": [1024, 65_536, 2**26],
    "memory.pcp_rule": ["v5.9", "v6.7"],
    "kvfree.min_cached_objs": [0, 1, 5],
    "policy.sources": [[], ["cache"], ["pcp-lockless"], ["nowait", "cache"]],
    "policy.refill.path": ["hrtimer", "direct", "delayed"],
    "workload.one_arg_share": [0.0, 0.5, 1.0],
    "workload.kind": ["flood", "burst", "rcuscale"],
}
scenarios = st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in CHOICES.items()})


def resolved_of(text="", **overrides):
    return resolve(parse_scenario(text, overrides={key.replace("__", "."): value for key, value in overrides.items()}))


def no_none(value):
    if isinstance(value, dict):
        return all(no_none(each) for each in value.values())
    if isinstance(value, list | tuple):
        return all(no_none(each) for each in value)
    return isinstance(value, str | bool | int | float)


@given(scenarios)
def test_whatever_resolves_is_complete_concrete_and_the_same_again(overrides):
    try:
        resolved = resolve(parse_scenario("", "s.toml", overrides=overrides))
    except ConfigError as error:
        assert all(": " in line and "; " in line for line in str(error).splitlines())
        return
    assert resolve(parse_scenario("", "s.toml", overrides=overrides)) == resolved
    values, provenance = as_record(resolved)
    assert no_none(values)
    values.pop("notes")
    assert set(flatten(values)) == set(provenance)
    assert set(all_keys()) <= set(provenance)
    assert set(provenance.values()) <= {"user", "preset", "epoch", "default", "formula"}
    for key, value in overrides.items():
        assert provenance[key] == "user"
        assert flatten(values)[key] == (tuple(value) if isinstance(value, list) else value)


def test_the_record_survives_json_and_msgpack():
    values, provenance = as_record(resolved_of())
    assert json.loads(json.dumps(values)) == msgspec.msgpack.decode(msgspec.msgpack.encode(values))
    assert "provenance" not in values and provenance["run.hz"] == "default"


def test_a_user_beats_a_preset_beats_an_epoch():
    assert resolved_of().provenance["policy.sources"] == "epoch"
    preset = resolved_of(policy__preset="S4")
    assert (preset.provenance["policy.sources"], preset.policy.pool.pages_per_cpu) == ("preset", 32)
    user = resolved_of(policy__preset="S4", policy__pool__pages_per_cpu=8)
    assert (user.provenance["policy.pool.pages_per_cpu"], user.policy.pool.pages_per_cpu) == ("user", 8)
    assert resolved_of(kvfree__drain_ms=40).kvfree.drain_ns == 40_000_000


def test_a_value_that_equals_the_default_is_still_the_users():
    assert resolved_of(run__hz=250).provenance["run.hz"] == "user"
    assert resolved_of().provenance["run.hz"] == "default"
    assert resolved_of().provenance["run.jiffy_ns"] == "formula"
    assert resolved_of(processes__mutator__nice=0).provenance["processes.mutator.nice"] == "user"


def test_times_come_in_nanoseconds():
    resolved = resolved_of(run__hz=300, run__epoch="E61", readers__length_us=7, workload__replay__pause_ms=2)
    assert (resolved.run.jiffy_ns, resolved.run.duration_ns) == (3_333_333, 10_000_000_000)
    assert (resolved.rcu.first_fqs_ns, resolved.rcu.stall_timeout_ns) == (2 * 3_333_333, 21_000_000_000)
    assert (resolved.kvfree.drain_jiffies, resolved.kvfree.flood_drain_ns) == (1500, 3_333_333)
    assert (resolved.policy.refill.backoff_ns, resolved.readers.length_ns) == (5_000_000_000, 7000)
    assert resolved.workload.replay.pause_ns == 2_000_000


def test_a_flood_is_a_pages_worth_or_no_rule():
    assert resolved_of(run__epoch="E511").kvfree.flood_objects == 0
    assert resolved_of(run__epoch="E61").kvfree.flood_objects == 510
    assert resolved_of(kvfree__bnode_records=31).kvfree.flood_objects == 31


def test_high_is_fixed_by_the_old_rule_and_a_range_by_the_new():
    old = resolved_of(run__epoch="E511").memory
    assert (old.pcp_batch, old.pcp_high, old.pcp_high_min, old.pcp_high_max) == (15, 90, 90, 90)
    new = resolved_of().memory
    assert (new.pcp_batch, new.pcp_high, new.pcp_high_min, new.pcp_high_max) == (15, 320, 320, 4096)
    tiny = resolved_of(run__epoch="E511", memory__managed_pages=1024).memory
    assert (tiny.pcp_batch, tiny.pcp_high) == (1, 0)
    assert resolved_of(run__epoch="E511", memory__pcp_high=500).memory.pcp_high_max == 500


def test_pageblocks_cover_the_zone():
    memory = resolved_of(memory__managed_pages=1025, memory__unmovable_share=1.0).memory
    assert (memory.pageblocks, memory.unmovable_pageblocks, memory.pageblock_pages) == (3, 3, 512)


def test_shares_are_normalised():
    resolved = resolved_of(slab__object_bytes=[32, 64], slab__weights=[1, 3], workload__contexts__task=0.9999999)
    assert resolved.slab.weights == (0.25, 0.75)
    assert resolved.workload.contexts.task == 1.0


def test_a_worker_fetches_what_the_cache_holds():
    assert resolved_of(kvfree__min_cached_objs=1).policy.refill.amount == 1
    assert resolved_of(kvfree__min_cached_objs=1, policy__refill__amount=3).policy.refill.amount == 3


def test_without_a_cache_old_kernels_ask_in_vain_and_new_ones_do_not():
    assert resolved_of(run__epoch="E61", kvfree__min_cached_objs=0).policy.refill.trigger == "miss"
    none = resolved_of(run__epoch="E612", kvfree__min_cached_objs=0)
    assert (none.policy.refill.trigger, none.provenance["policy.refill.trigger"]) == ("none", "formula")


def test_a_cache_that_no_source_uses_is_not_kept():
    resolved = resolved_of(run__epoch="E59", policy__sources=["nowait"])
    assert (resolved.kvfree.min_cached_objs, resolved.kvfree.boot_fill) == (0, False)
    assert resolved.policy.refill.trigger == "none"


def test_one_argument_calls_follow_the_users_sources():
    assert resolved_of(policy__sources=["nowait"]).policy.one_arg_sources == ("nowait", "direct")
    assert resolved_of(policy__sources=["nowait"], run__epoch="E511").policy.one_arg_sources == ("nowait",)
    only = resolved_of(policy__sources=["nowait"], policy__one_arg_sources=[])
    assert only.policy.one_arg_sources == ()


def test_another_path_drops_the_epochs_delay():
    assert resolved_of(run__epoch="ERFC").policy.refill.delay_ns == 4_000_000
    assert resolved_of(run__epoch="ERFC", policy__refill__path="direct").policy.refill.delay_jiffies == 0


def test_a_preset_whose_sources_are_replaced_keeps_no_pool():
    assert resolved_of(policy__preset="S4", policy__sources=["cache"]).policy.pool.pages_per_cpu == 0


@pytest.mark.parametrize("kind, share", [("double", 0.0), ("single", 1.0), ("mixed", 0.5)])
def test_rcuscale_sets_shares_sizes_and_threads(kind, share):
    asked = {"workload__kind": "rcuscale", "workload__rcuscale__single_double": kind, "workload__rcuscale__mult": 3}
    resolved = resolved_of(**asked)
    assert resolved.workload.one_arg_share == share
    assert resolved.slab.object_bytes == (96,)
    assert (resolved.workload.rcuscale.threads, resolved.workload.rcuscale.calls_per_thread) == (2, 80_000)


def test_a_rate_is_an_interval():
    assert resolved_of(workload__kind="constant", workload__rate_per_s=4e6).workload.interval_ns == 250.0
    assert resolved_of().workload.interval_ns == 0.0


def test_a_trace_is_looked_for_beside_the_scenario(tmp_path):
    (tmp_path / "demand.gz").write_bytes(b"")
    text = '[workload]\nkind = "replay"\n[workload.replay]\ntrace = "demand.gz"\n'
    resolved = resolve(parse_scenario(text, "s.toml", tmp_path))
    assert resolved.workload.replay.trace_path == str(tmp_path / "demand.gz")
    assert resolved_of(workload__replay__trace="demand.gz").workload.replay.trace_path == ""


def test_records_cannot_be_changed():
    with pytest.raises(AttributeError):
        resolved_of().run.hz = 100


def test_the_room_is_light():
    code = "import sys, emu.config; print({'numba', 'numpy', 'msgpack', 'difflib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
