"""The table of edges is what the comments say, agrees with the house rules, and stands in emu/README.md."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "scripts"))
import edges  # noqa: E402
import tidy  # noqa: E402

sys.path.pop(0)

RING = '''
from emu.arch import load_acquire, smp_mb, store_release
def put(s):
    """Put. REL ring.full."""
    store_release(s, 0, 1)  # REL ring.full: slot before head. Pairs with ACQ in get().
    smp_mb()  # MB bell.sleep: bell before the look
def get(s):
    # ACQ ring.full: head before slot.
    return load_acquire(s, 0)
def look(s):
    load_acquire(s, 0)  # ACQ ring.full: as in get()
    smp_mb()  # MB bell.sleep: word before the second look. Pairs with put()
'''


@pytest.fixture
def project(tmp_path):
    """A project with one file of edges."""
    (tmp_path / "emu/ring").mkdir(parents=True)
    (tmp_path / "emu/ring/spsc.py").write_text(RING)
    return tmp_path


def test_an_edge_has_its_ends_by_kind_with_what_they_keep_in_order(project):
    assert edges.table_text(edges.read_edges(project)).splitlines()[2:] == [
        "| `bell.sleep` |  |  | *bell before the look*: `ring/spsc.py` put; "
        "*word before the second look*: `ring/spsc.py` look |",
        "| `ring.full` | *slot before head*: `ring/spsc.py` put | *head before slot*: `ring/spsc.py` get, look |  |",
    ]


def test_the_table_does_not_move_when_lines_do(project):
    before = edges.table_text(edges.read_edges(project))
    (project / "emu/ring/spsc.py").write_text("\n\n" + RING.replace("    smp_mb()", "    pass\n    smp_mb()"))
    assert edges.table_text(edges.read_edges(project)) == before


def test_rooms_that_need_no_edges_have_none(project):
    (project / "emu/arch").mkdir()
    (project / "emu/arch/atomics.py").write_text("# REL other.edge: not one of ours\n")
    assert "other.edge" not in edges.read_edges(project)


def test_the_table_knows_the_edges_that_tidy_checks():
    tree = tidy.read_tree(PROJECT)
    checked = {name for source in tree.below("emu", "workers") if source.room not in tidy.UNORDERED_ROOMS
               for line in source.lines for _, name in tidy.edge_ends(line)}
    found = edges.read_edges(PROJECT)
    assert set(found) == checked and len(checked) > 20
    assert tidy.edge_findings(tree) == []
    for edge in found.values():
        said = [text for kind in edges.KINDS for text in edge.ends[kind] if text]
        assert said, f"no end of {edge.name} says what it keeps in order"


def test_the_map_has_exactly_this_table():
    readme = (PROJECT / "emu/README.md").read_text()
    table = edges.table_text(edges.read_edges(PROJECT))
    assert edges.with_table(readme, table) == readme, "run scripts/edges.py --write"


def test_a_readme_without_marks_is_not_written_over():
    with pytest.raises(ValueError, match="are not both there"):
        edges.with_table("# The map\n" + edges.BEGIN, "| a |\n")


def test_the_command_prints_the_table():
    command = [sys.executable, str(PROJECT / "scripts/edges.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == edges.table_text(edges.read_edges(PROJECT))
