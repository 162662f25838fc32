"""Core lists and placements."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.errors import ConfigError, HostError
from emu.host import CORE_SPECS, Core, Topology, choose_cores, parse_core_list, place_daemons, read_topology


def topology_of(cores, mask=None) -> Topology:
    return Topology(tuple(cores), tuple(core.id for core in cores) if mask is None else tuple(mask))


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("0-7,!3,12", [0, 1, 2, 4, 5, 6, 7, 12]),
        ("5", [5]),
        ("9,2-4", [9, 2, 3, 4]),
        ("0-7,!4-6", [0, 1, 2, 3, 7]),
        ("!3,0-4", [0, 1, 2, 4]),
        (" 1 , 3 - 4 ", [1, 3, 4]),
        ("0-3,!3-9", [0, 1, 2]),
    ],
)
def test_core_list_keeps_the_order_written(text, cores):
    assert parse_core_list(text) == cores


@pytest.mark.parametrize(
    ("text", "token", "word"),
    [
        ("0-3,x", '"x"', "no core id"),
        ("0,,1", '""', "no core id"),
        ("", '""', "no core id"),
        ("0-7,3", '"3"', "second time"),
        ("7-3", '"7-3"', 'write "3-7"'),
        ("0-3,!8", '"!8"', "takes away"),
        ("0-99999999999", '"0-99999999999"', "largest"),
        ("-2", '"-2"', "no core id"),
        ("1-2-3", '"1-2-3"', "no core id"),
        ("\u0663", '"\u0663"', "no core id"),
    ],
)
def test_bad_core_list_names_the_text_the_token_and_the_rule(text, token, word):
    with pytest.raises(ConfigError) as caught:
        parse_core_list(text)
    message = str(caught.value)
    assert f'cores = "{text}"' in message and token in message and word in message


def test_a_list_that_takes_all_away_is_refused():
    with pytest.raises(ConfigError, match="no core is left"):
        parse_core_list("0-1,!0-1")


@given(st.lists(st.integers(0, 200), min_size=1, unique=True), st.sets(st.integers(0, 200)))
def test_what_is_taken_away_is_gone_and_nothing_else(listed, taken):
    taken &= set(listed[1:])
    text = ",".join([*map(str, listed), *(f"!{i}" for i in sorted(taken))])
    assert parse_core_list(text) == [i for i in listed if i not in taken]


def test_compact_takes_siblings_and_near_cores_first(two_packages):
    topology = two_packages.read([0, 1, 64, 128, 129, 192])
    assert choose_cores("compact", topology, 4).cores == (0, 128, 1, 129)


def test_scatter_goes_across_packages_then_caches_then_siblings(two_packages):
    ids = [0, 1, 16, 64, 80, 128, 192]
    topology = two_packages.read(ids)
    assert choose_cores("scatter", topology, 7).cores == (0, 64, 16, 80, 1, 128, 192)


def test_scatter_goes_across_nodes_where_no_cache_is_shown():
    topology = topology_of([Core(i, package=0, node=i // 2, siblings=(i,)) for i in range(4)])
    assert choose_cores("scatter", topology, 4).cores == (0, 2, 1, 3)


def test_one_per_physical_core_takes_the_first_allowed_sibling(smt_four):
    topology = smt_four.read([1, 2, 4, 5, 6])  # core 0 is not allowed, its sibling 4 is
    placement = choose_cores("one-per-physical-core", topology, 3)
    assert placement.cores == (4, 1, 2)
    assert placement.notes == ()
    again = choose_cores("one-per-physical-core", topology, 4)
    assert again.cores == (4, 1, 2, 4) and again.overcommitted  # rather than a sibling


def test_auto_leaves_the_interrupt_core_and_siblings_for_last(smt_four):
    topology = smt_four.read(range(8))
    assert choose_cores("auto", topology, 3).cores == (1, 2, 3)
    assert choose_cores("auto", topology, 4).cores == (0, 1, 2, 3)
    five = choose_cores("auto", topology, 5)
    assert five.cores == (0, 1, 5, 2, 3)
    assert any("siblings" in note and "1,5" in note for note in five.notes)


def test_auto_prefers_isolated_cores(smt_four):
    smt_four.lists(isolated="2-3,6-7")
    topology = smt_four.read(range(8))
    assert choose_cores("auto", topology, 2).cores == (2, 3)
    assert choose_cores("isolated", topology, 2).cores == (2, 3)
    assert set(choose_cores("isolated", topology, 4).cores) == {2, 3, 6, 7}


def test_more_cpus_than_cores_take_turns_and_say_so(smt_four):
    topology = smt_four.read([1, 2])
    placement = choose_cores("2,1", topology, 5)
    assert placement.cores == (2, 1, 2, 1, 2)
    assert placement.overcommitted and placement.shared == {2: (0, 2, 4), 1: (1, 3)}
    assert any("5 emulated CPUs on 2 cores" in note for note in placement.notes)


def test_spare_cores_of_a_list_are_mentioned(smt_four):
    placement = choose_cores([3, 0, 1], smt_four.read(range(8)), 2)
    assert placement.cores == (3, 0) and not placement.overcommitted and placement.shared == {}
    assert any("cores 1 of the list" in note for note in placement.notes)


def test_a_quota_below_the_cores_is_noted():
    cores = tuple(Core(i, siblings=(i,)) for i in range(4))
    topology = Topology(cores, (0, 1, 2, 3), quota_cpus=1.5)
    assert any("quota of 1.5" in note for note in choose_cores("auto", topology, 2).notes)
    assert choose_cores("auto", topology, 1).notes == ()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("12", ["core 12", "no such core", "0-3", "name one of 0-1"]),
        ("0,2", ["core 2", "outside", "mask 0-1,3", "taskset -c 0-3"]),
        ([3], ["core 3", "offline", "cpu3/online", "name one of 0-1"]),
    ],
)
def test_a_core_the_run_may_not_have_is_refused_with_its_way_out(spec, words):
    cores = [Core(0), Core(1), Core(2, allowed=False), Core(3, online=False)]
    topology = topology_of(cores, mask=(0, 1, 3))
    with pytest.raises(HostError) as caught:
        choose_cores(spec, topology, 1)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_isolated_cores_outside_the_mask_name_the_mask_to_start_with():
    cores = [Core(0), Core(1), *(Core(i, allowed=False, isolated=True) for i in (2, 3))]
    with pytest.raises(HostError, match="taskset -c 0-3 emu"):
        choose_cores("isolated", topology_of(cores, mask=(0, 1)), 1)
    with pytest.raises(HostError, match="isolcpus="):
        choose_cores("isolated", topology_of([Core(0)]), 1)


@pytest.mark.parametrize("spec", ["fancy", "", "Auto", "scatter,!0"])
def test_an_unknown_spec_lists_the_known_ones(spec):
    with pytest.raises(ConfigError, match="one-per-physical-core"):
        choose_cores(spec, topology_of([Core(0)]), 1)


def test_a_mask_without_an_online_core_is_refused():
    for spec in CORE_SPECS:
        with pytest.raises(HostError, match="both online and in"):
            choose_cores(spec, topology_of([Core(0, online=False)]), 1)


CORES = st.integers(1, 4).flatmap(
    lambda threads: st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 1), st.booleans(), st.booleans(), st.booleans()),
        min_size=1, max_size=6,
    ).map(lambda rows: build_host(rows, threads))
)


def build_host(rows, threads) -> Topology:
    cores = []
    for k, (package, cache, online, allowed, isolated) in enumerate(rows):
        siblings = tuple(3 * k + 100 * t for t in range(threads))
        for i in siblings:
            cores.append(Core(i, online, allowed or k == 0, package, siblings=siblings, l3=2 * package + cache,
                              isolated=isolated))
    return topology_of(sorted(cores, key=lambda core: core.id), [core.id for core in cores if core.allowed])


@settings(max_examples=60, deadline=None)
@given(CORES, st.integers(1, 9), st.sampled_from(CORE_SPECS))
def test_placements_stay_within_the_mask_and_spread_evenly(topology, count, spec):
    try:
        placement = choose_cores(spec, topology, count)
    except HostError:
        assert not topology.usable or spec == "isolated"
        return
    assert len(placement.cores) == count
    assert set(placement.cores) <= set(topology.usable_ids)
    loads = [placement.cores.count(core) for core in set(placement.cores)]
    assert max(loads) - min(loads) <= 1
    assert placement.overcommitted == (max(loads) > 1) == bool(placement.shared)
    if spec in ("auto", "compact", "scatter"):
        assert len(set(placement.cores)) == min(count, len(topology.usable))
    for core, cpus in placement.shared.items():
        assert [placement.cores[cpu] for cpu in cpus] == [core] * len(cpus)


def test_daemons_stay_off_mutators_and_their_siblings(smt_four):
    topology = smt_four.read(range(8))
    assert place_daemons("auto", topology, (1, 2)).cores == (0, 3, 4, 7)
    assert place_daemons("auto", topology, (0, 1, 2, 3)).cores == (4, 5, 6, 7)


def test_daemons_prefer_cores_that_are_not_isolated(smt_four):
    smt_four.lists(isolated="2-3,6-7")
    topology = smt_four.read(range(8))
    assert place_daemons("auto", topology, (2, 3)).cores == (0, 1, 4, 5)
    crowded = place_daemons("auto", topology, (0, 1, 4, 5))
    assert crowded.cores == (2, 3, 6, 7)
    assert any("isolated" in note for note in crowded.notes)


def test_daemons_share_when_every_core_has_a_mutator(smt_four):
    topology = smt_four.read([0, 1])
    placement = place_daemons("auto", topology, (0, 1, 0))
    assert placement.cores == placement.shared == (0, 1)
    assert any("share cores 0-1" in note for note in placement.notes)


def test_daemons_take_a_list_within_the_mask(smt_four):
    topology = smt_four.read([0, 1, 2])
    placement = place_daemons("2,0", topology, (0,))
    assert placement.cores == (0, 2) and placement.shared == (0,)
    with pytest.raises(HostError, match="core 5"):
        place_daemons("5", topology, (0,))
    with pytest.raises(ConfigError, match="auto"):
        place_daemons("scatter", topology, (0,))


def test_this_host_can_place_one_cpu_by_every_order():
    topology = read_topology()
    for spec in ("auto", "compact", "scatter", "one-per-physical-core"):
        assert choose_cores(spec, topology, 1).cores[0] in topology.usable_ids
