"""The compile decorator, and the key of the compile cache."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emu.arch import JIT, cache_root, jit
from emu.arch import jit as decorator

jit_module = sys.modules["emu.arch.jit"]
PROJECT = Path(jit_module.__file__).resolve().parents[2]


@jit
def doubled(value):
    return value * 2


def test_the_switch_is_the_environment():
    assert (os.environ.get("EMU_JIT") != "0") == JIT
    assert hasattr(doubled, "py_func") == JIT
    assert doubled(21) == 42


def test_both_switch_positions_give_the_same_answer():
    program = "from emu.arch import *\nw = private_words(2)\nfetch_add_relaxed(w, 0, 5)\nprint(JIT, w[0])"
    answers = {
        subprocess.run([sys.executable, "-c", program], env={**os.environ, "EMU_JIT": switch}, cwd=PROJECT,
                       capture_output=True, text=True, check=True).stdout.strip()
        for switch in ("0", "1")
    }
    assert answers == {"False 5", "True 5"}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A made-up emu/ with one compiled room, one light room and workers/ beside it."""
    emu = tmp_path / "emu"
    for file in ("emu/arch/a.py", "emu/mm/sub/b.py", "emu/config/c.py", "emu/boot/plan.py", "workers/d.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("x = 1\n")
    monkeypatch.setattr(jit_module, "PACKAGE", emu)
    return emu


def test_the_key_covers_compiled_rooms_boot_and_workers(package):
    names = {str(path.relative_to(package.parent)) for path in jit_module.compiled_sources()}
    assert names == {"emu/arch/a.py", "emu/mm/sub/b.py", "emu/boot/plan.py", "workers/d.py"}


@pytest.mark.parametrize("file", ["arch/a.py", "mm/sub/b.py", "boot/plan.py", "../workers/d.py"])
def test_the_key_changes_with_each_compiled_source(package, file):
    before = jit_module.sources_hash()
    assert before == jit_module.sources_hash()
    (package / file).write_text("x = 2\n")
    assert jit_module.sources_hash() != before


def test_the_key_changes_when_a_file_is_renamed(package):
    before = jit_module.sources_hash()
    (package / "arch/a.py").rename(package / "arch/z.py")
    assert jit_module.sources_hash() != before


def test_the_key_does_not_change_with_a_light_room(package):
    before = jit_module.sources_hash()
    (package / "config/c.py").write_text("x = 2\n")
    assert jit_module.sources_hash() == before


def test_the_cache_is_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("EMU_CACHE_DIR", str(tmp_path / "mine"))
    assert cache_root() == tmp_path / "mine"
    monkeypatch.delenv("EMU_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "xdg" / "emu"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == tmp_path / ".cache" / "emu"


def test_pruning_keeps_the_present_and_the_newest_others(tmp_path):
    for age in range(8):
        folder = tmp_path / f"jit-{age}"
        folder.mkdir()
        os.utime(folder, (1000 - age, 1000 - age))
    (tmp_path / "not-ours").mkdir()
    jit_module._prune(tmp_path, "jit-7")  # the oldest of all, but the present one
    left = {folder.name for folder in tmp_path.iterdir()}
    assert left == {"not-ours", "jit-7", *(f"jit-{age}" for age in range(jit_module.KEPT_CACHES))}


@pytest.mark.jit_only
def test_a_cache_that_cannot_be_made_stops_nothing(tmp_path):
    (tmp_path / "file").touch()
    program = "from emu.arch import *\nprint(JIT)"
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True,
                          env={**os.environ, "EMU_CACHE_DIR": str(tmp_path / "file")})
    assert done.stdout.strip() == "True"


def test_every_compiled_file_of_the_program_is_in_the_key():
    covered = {path.resolve() for path in jit_module.compiled_sources()}
    missing = [str(path.relative_to(PROJECT)) for path in sorted((PROJECT / "emu").rglob("*.py"))
               if "\n@jit" in path.read_text() and path.resolve() not in covered]
    assert missing == []
    assert decorator is jit
