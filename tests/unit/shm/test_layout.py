"""Declared structures: every writer's fields start on a line of their own, and the hash sees every move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.shm import LINE_WORDS, declared, layout_hash, line, record, round_to_line, struct
from emu.shm import layout as layout_module


@pytest.fixture
def registry(monkeypatch):
    """An empty registry, so that made-up structures do not meet the program's."""
    monkeypatch.setattr(layout_module, "_registry", {})


def declare(lines):
    """Structure `s` from [[words, ...], ...], alone in a registry: (offsets, hash)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout_module, "_registry", {})
        built = struct("s", *(line("someone", *((f"f{i}_{j}", words) for j, words in enumerate(fields)))
                              for i, fields in enumerate(lines)))
        return built, layout_hash()


line_sizes = st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=20), min_size=1, max_size=5)


@given(line_sizes)
def test_no_two_fields_overlap_and_no_two_writers_share_a_line(lines):
    built, _ = declare(lines)
    taken: dict[int, str] = {}
    writer_of_line: dict[int, int] = {}
    for i, fields in enumerate(lines):
        assert getattr(built, f"f{i}_0") % LINE_WORDS == 0
        for j, words in enumerate(fields):
            start = getattr(built, f"f{i}_{j}")
            for word in range(start, start + words):
                assert taken.setdefault(word, f"f{i}_{j}") == f"f{i}_{j}"
                assert writer_of_line.setdefault(word // LINE_WORDS, i) == i
    assert built.SIZE % LINE_WORDS == 0
    assert max(taken) < built.SIZE <= max(taken) + LINE_WORDS


@given(line_sizes, st.data())
def test_the_hash_changes_when_a_field_moves(lines, data):
    _, before = declare(lines)
    i = data.draw(st.integers(0, len(lines) - 1))
    grown = [list(fields) for fields in lines]
    grown[i].insert(0, 1)  # renames and moves the fields of this line
    assert declare(grown)[1] != before


def test_fields_of_one_line_keep_their_order(registry):
    built = struct("s", line("a", "x", ("y", 3), "z"), line("b", "w"))
    assert built._asdict() == {"x": 0, "y": 1, "z": 4, "w": 16, "SIZE": 32}


def test_a_record_is_packed(registry):
    assert record("r", "x", "y", "z")._asdict() == {"x": 0, "y": 1, "z": 2, "SIZE": 3}


@pytest.mark.parametrize("second", [
    lambda: struct("s", line("a", "x")),
    lambda: record("s", "x"),
])
def test_a_structure_declared_twice_is_refused(registry, second):
    struct("s", line("a", "x"))
    with pytest.raises(ValueError, match="structure s is declared twice"):
        second()


def test_a_field_declared_twice_is_refused_also_across_lines(registry):
    with pytest.raises(ValueError, match="s.x is declared twice"):
        struct("s", line("a", "x"), line("b", "x"))
    assert "s" not in declared()


def test_the_hash_speaks_of_names_and_offsets_not_of_writers_or_order(monkeypatch):
    def hash_of(*declarations):
        monkeypatch.setattr(layout_module, "_registry", {})
        for name, *lines in declarations:
            struct(name, *lines)
        return layout_hash()

    plain = hash_of(("a", line("w", "x", "y")), ("b", line("w", "z")))
    assert plain == hash_of(("a", line("another writer", "x", "y")), ("b", line("w", "z")))
    assert plain == hash_of(("b", line("w", "z")), ("a", line("w", "x", "y")))
    assert plain != hash_of(("a", line("w", "y", "x")), ("b", line("w", "z")))
    assert plain != hash_of(("a", line("w", "x", "y")), ("c", line("w", "z")))
    assert plain != hash_of(("a", line("w", "x"), line("v", "y")), ("b", line("w", "z")))


def test_the_hash_fits_an_int64_word():
    assert 0 <= layout_hash() < 1 << 63


def test_declared_tells_fields_and_writers(registry):
    struct("s", line("the launcher", "x"), line("anyone", "y"))
    assert declared() == {"s": ((("x", 0), ("y", 16), ("SIZE", 32)), ("the launcher", "anyone"))}


@given(st.integers(0, 1 << 40))
def test_round_to_line_gives_the_next_whole_line(words):
    rounded = round_to_line(words)
    assert rounded % LINE_WORDS == 0 and 0 <= rounded - words < LINE_WORDS
