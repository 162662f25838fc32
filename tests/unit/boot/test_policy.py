"""The composition as written, and reserves that memory has to have."""

import pytest
from msgspec.structs import replace

from emu.arch import private_words
from emu.boot import boot, make_plan
from emu.errors import ConfigError
from emu.policy import POLICY, SOURCE_IDS, policy_of
from tests.small_machine import small_machine, small_scenario


def test_a_composition_is_written_in_its_order():
    machine = small_machine("policy.sources=['static', 'cache', 'nowait']", "policy.pool.pages_per_cpu=1")
    seg, policy = machine.seg, policy_of(machine.seg)
    names = ["static", "cache", "nowait"]
    assert [seg[policy + POLICY.sources + i] for i in range(seg[policy + POLICY.nr_sources])] == [
        SOURCE_IDS[name] for name in names]
    assert [seg[policy + POLICY.one_arg + i] for i in range(seg[policy + POLICY.nr_one_arg])] == [
        SOURCE_IDS[name] for name in (*names, "direct")]


def test_memory_too_small_for_what_cpus_hold_from_the_start_is_refused_by_name():
    plan = make_plan(with_reserve(small_scenario("policy.preset=S4"), pages=1100))
    with pytest.raises(ConfigError, match="memory.managed_pages = 2048: too few .* lower.*pages_per_cpu"):
        boot(private_words(plan.size_words), plan)


def with_reserve(resolved, pages: int):
    """The scenario with a reserve that the rules between keys would have refused."""
    pool = replace(resolved.policy.pool, pages_per_cpu=pages)
    return replace(resolved, policy=replace(resolved.policy, pool=pool))
