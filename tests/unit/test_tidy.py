"""Each house rule is broken once in a small made-up tree, and caught; and the repository keeps them all."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "scripts"))
import tidy  # noqa: E402

sys.path.pop(0)

CLEAN = {
    "emu/__init__.py": "",
    "emu/errors.py": "class EmuError(Exception): pass\n",
    "emu/arch/__init__.py": "from emu.arch.jit import jit\nfrom emu.arch.ops import load_acquire, store_release\n",
    "emu/arch/jit.py": 'COMPILED_ROOMS = ("arch", "mm")\ndef jit(f): return f\n',
    "emu/arch/ops.py": "def load_acquire(s, i): return s[i]\ndef store_release(s, i, v): s[i] = v\n",
    "emu/mm/__init__.py": "from emu.mm.page import get, put\n",
    "emu/mm/page.py": (
        "from emu.arch import jit, load_acquire, store_release\n"
        "@jit\n"
        "def put(s):\n"
        "    store_release(s, 0, 1)  # REL page.full: words before the flag. Pairs with ACQ in get().\n"
        "@jit\n"
        "def get(s):\n"
        "    return load_acquire(s, 0)  # ACQ page.full: flag before words. Pairs with REL in put().\n"
    ),
    "emu/config/__init__.py": "from emu.errors import EmuError\n",
    "emu/cli.py": "import emu.config\ndef run():\n    from emu.mm import get\n    return get\n",
}


def of(rule, findings):
    """Those findings that are of one rule."""
    return [each for each in findings if f": {rule}: " in each]


@pytest.fixture
def tree(tmp_path):
    """tree(path=text, ...): findings of the clean tree with these files added, replaced, or (None) removed."""

    def findings(changes=()):
        for path, text in {**CLEAN, **dict(changes)}.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                file.unlink(missing_ok=True)
            else:
                file.write_text(text)
        return [str(finding) for finding in tidy.check(tmp_path)]

    return findings


def test_the_made_up_tree_is_clean(tree):
    assert tree() == []


def test_a_finding_tells_file_line_rule_and_text(tree):
    (found,) = tree({"emu/errors.py": "\nfrom emu.mm import get\n"})
    assert found == "emu/errors.py:2: layer: errors is light (loads no Numba) and imports room mm"


# --- layer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room, imported, text", [
    ("mm", "from emu.kvfree import f", "mm imports kvfree, a room to the right of it"),
    ("mm", "def late():\n    from emu.kvfree import f", "mm imports kvfree, a room to the right of it"),
    ("mm", "from emu.rcu import f", "mm imports rcu, a room beside it"),
    ("rcu", "from emu.mm import f", "rcu imports mm, a room beside it"),
    ("sync", "from emu.mm import f", "sync imports mm, a room to the right of it"),
    ("ring", "from ..stats import f", "ring imports stats, a room beside it"),
    ("mm", "from emu.cli import f", "mm imports cli, a room to the right of it"),
    ("mm", "from emu.bench import f", "mm imports bench, which nothing imports"),
    ("mm", 'LATE = "emu.kvfree:f"', "mm imports kvfree, a room to the right of it"),
    ("config", "from emu.arch import jit", "config is light (loads no Numba) and imports room arch"),
    ("host", "from emu.shm import f", "host is light (loads no Numba) and imports room shm"),
    ("results", "import numpy as np", "results is light (loads no Numba) and imports numpy"),
    ("report", "from numba import njit", "report is light (loads no Numba) and imports numba"),
    ("newroom", "", "room newroom has no place in LAYERS of scripts/tidy.py"),
])
def test_an_arrow_to_the_right_is_caught(tree, room, imported, text):
    other = imported.partition("emu.")[2].partition(" ")[0].partition(":")[0] or "stats"
    changes = {f"emu/{room}/__init__.py": f"from emu.{room}.inner import f\n", f"emu/{room}/inner.py": imported + "\n"}
    if other not in ("arch", "cli", room, "mm"):
        changes[f"emu/{other}/__init__.py"] = "def f(): pass\n"
    assert any(f"emu/{room}/" in found and f"layer: {text}" in found for found in tree(changes))


@pytest.mark.parametrize("room, imported", [
    ("mm", "from emu.sync import f"), ("rcu", "from emu.sync import f"), ("policy", "from emu.mm import get"),
    ("report", "from emu.results import f"), ("results", "from emu.config import EmuError"),
    ("launch", "from emu.host import f"), ("sweep", "from emu.launch import f"), ("bench", "from emu.mm import get"),
])
def test_an_arrow_to_the_left_is_not(tree, room, imported):
    other = imported.split()[1].split(".")[1]
    changes = {f"emu/{room}/inner.py": imported + "\n"}
    if f"emu/{other}/__init__.py" not in CLEAN:
        changes[f"emu/{other}/__init__.py"] = "def f(): pass\n"
    assert of("layer", tree(changes)) == []


# --- door ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path, imported", [
    ("emu/policy/direct.py", "from emu.mm.page import get"), ("emu/policy/direct.py", "import emu.mm.page"),
    ("emu/policy/direct.py", "from emu.mm import page"), ("emu/policy/direct.py", "from ..mm.page import get"),
    ("workers/mutator.py", "from emu.mm.page import get"), ("workers/mutator.py", "import emu.mm.page"),
])
def test_a_room_entered_past_its_door_is_caught(tree, path, imported):
    found = of("door", tree({path: imported + "\n"}))
    assert found == [f"{path}:1: door: imports emu.mm.page past the door of its room; take it from emu.mm"]


def test_a_function_with_the_name_of_its_module_passes_through_the_door(tree):
    assert "from emu.arch import jit" in CLEAN["emu/mm/page.py"]
    assert of("door", tree()) == []


# --- edge ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [
    "load_acquire(s, 0)", "store_release(s, 0, 1)", "cmpxchg_acquire(s, 0, 0, 1)", "cmpxchg_release(s, 0, 0, 1)",
    "cmpxchg_acq_rel(s, 0, 0, 1)", "xchg_acq_rel(s, 0, 1)", "fetch_add_acq_rel(s, 0, 1)", "fetch_or_acq_rel(s, 0, 1)",
    "fetch_and_acq_rel(s, 0, 1)", "smp_mb()", "smp_mb_after_atomic()", "arch.smp_mb()",
])
def test_an_ordered_access_without_an_edge_is_caught(tree, name):
    found = of("edge", tree({"emu/mm/page.py": f"def get(s):\n    return {name}\ndef put(): pass\n"}))
    assert found == [f"emu/mm/page.py:2: edge: {name.split('(')[0]}() names no edge on its line or the 3 above"]


def test_a_relaxed_access_needs_no_edge(tree):
    assert of("edge", tree({"emu/mm/page.py": "def get(s):\n    return load_relaxed(s, 0)\ndef put(): pass\n"})) == []


@pytest.mark.parametrize("lines_above, caught", [(3, False), (4, True)])
def test_a_comment_reaches_three_lines_down(tree, lines_above, caught):
    filler = "    x = 1\n" * (lines_above - 1)
    text = f"def get(s):\n    # MB page.full: a\n{filler}    smp_mb()\n    # MB page.full: b\ndef put(): pass\n"
    assert any("names no edge" in each for each in tree({"emu/mm/page.py": text})) == caught


@pytest.mark.parametrize("drop, text", [
    ("REL page.full", "edge page.full has ACQ and no REL"), ("ACQ page.full", "edge page.full has REL and no ACQ"),
])
def test_an_edge_with_one_end_is_caught(tree, drop, text):
    found = tree({"emu/mm/page.py": CLEAN["emu/mm/page.py"].replace(drop, "page.full")})
    assert any(text in each for each in found)


@pytest.mark.parametrize("comments, text", [
    (("MB a.b: x",), "edge a.b has MB and no second MB"),
    (("MB a.b: x", "MB a.b: y"), None),
    (("MB a.b: x", "ACQ a.b: y"), None),
    (("REL/ACQ a.b: x",), None),
    (("ACQ+REL a.b: x",), None),
    (("ACQ a.b: x", "ACQ a.b: y"), "edge a.b has ACQ and no REL"),
    (("REL a.b: x", "ACQ page.full: y"), "edge a.b has REL and no ACQ"),
    (("Pairs with REL in put().", "footprint 3 MB in all"), None),
])
def test_ends_are_counted_by_edge(tree, comments, text):
    found = tree({"emu/mm/page.py": CLEAN["emu/mm/page.py"] + "".join(f"# {each}\n" for each in comments)})
    assert [each.partition("edge: ")[2] for each in found] == ([text] if text else [])


def test_arch_and_bench_need_no_edges(tree):
    text = "def f(s):\n    return load_acquire(s, 0)\n"
    assert tree({"emu/arch/ops.py": CLEAN["emu/arch/ops.py"] + text, "emu/bench/speed.py": text}) == []


# --- width, length, compiled, dead, syntax ---------------------------------------------------------------


@pytest.mark.parametrize("width, caught", [(120, False), (121, True)])
@pytest.mark.parametrize("path", ["emu/errors.py", "tests/unit/test_a.py", "scripts/a.py", "workers/a.py"])
def test_a_wide_line_is_caught(tree, path, width, caught):
    found = tree({path: "x = 1\n" + "#" * width + "\n"})
    assert found == ([f"{path}:2: width: 121 characters, at most 120"] if caught else [])


def test_a_long_file_needs_a_reason(tree):
    long = {"emu/errors.py": "x = 1\n" * 401}
    (found,) = tree(long)
    assert found.startswith("emu/errors.py:401: length: 401 lines, at most 400")
    assert tree({**long, "emu/DECISIONS.md": "`emu/errors.py` is long because it is a table.\n"}) == []
    assert tree({"emu/errors.py": "x = 1\n" * 400, "emu/DECISIONS.md": None}) == []


@pytest.mark.parametrize("decorator", ["@jit", "@arch.jit"])
def test_compiled_code_outside_the_cache_key_is_caught(tree, decorator):
    found = tree({"emu/policy/__init__.py": f"{decorator}\ndef f(): pass\n", "emu/policy/direct.py": None,
                  "emu/kvfree/__init__.py": "from emu.policy import f\n",
                  "emu/launch/__init__.py": "import emu.kvfree\n",
                  "workers/a.py": "import emu.launch\n@jit\ndef g(): pass\n"})
    text = "@jit f: room policy is not in COMPILED_ROOMS of emu/arch/jit.py"
    assert found == [f"emu/policy/__init__.py:1: compiled: {text}"]


def test_a_module_that_nobody_imports_is_caught(tree):
    found = tree({"emu/mm/forgotten.py": "", "tests/unit/test_a.py": "from emu.mm.forgotten import x\n"})
    assert found == ["emu/mm/forgotten.py:1: dead: no module imports it"]


def test_a_room_that_only_its_own_modules_import_is_caught(tree):
    found = tree({"emu/kvfree/__init__.py": "from emu.kvfree.krc import f\n",
                  "emu/kvfree/krc.py": "from emu.kvfree import g\n"})
    assert found == ["emu/kvfree/__init__.py:1: dead: no module imports it"]


def test_a_module_imported_late_or_by_name_is_alive(tree):
    late = 'ROOMS = {"report": "emu.report:text"}\ndef f():\n    import emu.launch\n'
    assert tree({"emu/launch/__init__.py": "", "emu/report/__init__.py": "", "emu/cli.py": CLEAN["emu/cli.py"] + late,
                 "emu/__main__.py": "from emu.cli import run\n"}) == []


def test_a_file_that_does_not_parse_is_named(tree):
    found = tree({"emu/mm/page.py": "def get(:\n"})
    assert any(each.startswith("emu/mm/page.py:1: syntax: ") for each in found)


# --- the command, and the repository ---------------------------------------------------------------------


def run_tidy(*arguments):
    command = [sys.executable, str(PROJECT / "scripts" / "tidy.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_fails_on_findings_and_only_then(tree, tmp_path):
    tree()
    clean = run_tidy(str(tmp_path))
    assert (clean.returncode, clean.stdout) == (0, "tidy: clean\n")
    (tmp_path / "emu/errors.py").write_text("#" * 121 + "\n")
    dirty = run_tidy(str(tmp_path))
    assert dirty.returncode == 1
    assert dirty.stdout.splitlines() == ["emu/errors.py:1: width: 121 characters, at most 120", "tidy: 1 findings"]


def test_every_room_of_the_program_has_a_place():
    rooms = {source.room for source in tidy.read_tree(PROJECT).below("emu")} - {""}
    assert rooms - set(tidy.RANK) - set(tidy.FREE_ROOMS) == set()


def test_the_repository_keeps_its_rules():
    assert [str(finding) for finding in tidy.check(PROJECT)] == []
