"""The text of `emu topology`."""

from emu.host import Core, Disturbance, Topology, disturbances, read_topology, topology_text


def test_no_line_is_wider_than_80_columns(two_packages, machine):
    topology = two_packages.read([*range(8, 32), *range(64, 90), 192, 193])
    text = topology_text(topology, disturbances(topology, None, machine.sys, machine.proc))
    assert max(map(len, text.splitlines())) <= 80
    wide = Topology(tuple(Core(1000 + 7 * i, siblings=tuple(range(1000 + 7 * i, 1700, 100))) for i in range(9)), ())
    assert max(map(len, topology_text(wide).splitlines())) <= 80


def test_every_core_has_its_line(smt_four):
    smt_four.lists(online="0-6", isolated="3")
    lines = topology_text(smt_four.read([0, 1, 2, 3, 4])).splitlines()
    rows = {row.split()[0]: row.split() for row in lines[1:9]}
    assert list(rows) == [str(i) for i in range(8)]
    assert rows["3"] == ["3", "0", "3", "3,7", "?", "0", "yes", "allowed"]
    assert rows["5"][-2:] == ["not", "allowed"] and rows["7"][-1] == "offline"


def test_choices_are_those_a_run_would_get(smt_four):
    text = topology_text(smt_four.read(range(8)))
    choices = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.startswith("  ")}
    assert choices["compact"] == ["0", "0,4", "0,4,1,5"]
    assert choices["scatter"] == ["0", "0,1", "0,1,2,3"]
    assert "boot it" in text  # no isolated cores: the refusal stands in their line


def test_cores_that_take_turns_are_starred_and_explained():
    text = topology_text(Topology((Core(4), Core(5)), (4, 5)))
    assert "4,5,4,5*" in text and "* " in text


def test_summary_counts_what_is_there(two_packages):
    text = " ".join(topology_text(two_packages.read([0, 1, 64])).split())
    assert "128 cores online of 128; 3 allowed (0-1,64); 64 physical cores; 2 packages; 2 nodes; 4 L3 caches" in text


def test_disturbances_come_with_their_way_out():
    topology = Topology((Core(0),), (0,))
    text = topology_text(topology, [Disturbance("noise", "somebody hammers", "send them home")])
    assert "  somebody hammers\n    -> send them home\n" in text
    assert "nothing found" in topology_text(topology)


def test_this_host_has_a_text():
    topology = read_topology()
    text = topology_text(topology, disturbances(topology))
    assert max(map(len, text.splitlines())) <= 80 and f"({len(topology.cores)} " not in text.splitlines()[0]
    assert text.splitlines()[0].split()[0] == "core"
