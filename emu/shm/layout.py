"""Declared structures: names and cache lines in, word offsets and a layout hash out.

Holds   struct(), Line, and the registry of every structure that lives in a segment.
Rule    one line, one writer; the declaration says who writes it. A field's offset is a constant of the
        declaring module (a named tuple of ints), so compiled code folds it. The hash over all declarations
        goes into the segment header, and attaching with another hash is refused.
Limits  int64 words, lines of 128 bytes (two 64-byte lines: adjacent-line prefetch; arm64 parts have 128).
"""

import hashlib
from collections import namedtuple
from typing import NamedTuple

LINE_WORDS = 16


class Line(NamedTuple):
    """One writer's fields: names, or (name, words) for an array. Starts on a line of its own.

    writer: who may write these words, in words; it is part of the declaration, not of the hash.
    """

    writer: str
    fields: tuple


def line(writer: str, *fields) -> Line:
    """Declare the fields that `writer` alone writes (or that a named lock protects)."""
    return Line(writer, fields)


_registry: dict[str, tuple] = {}


def struct(name: str, *lines: Line):
    """A named tuple of word offsets, one per field, and SIZE: the structure's length in words.

    Raises ValueError for a name declared twice. Fields keep their order; each Line starts on a new line.
    """
    if name in _registry:
        raise ValueError(f"structure {name} is declared twice")
    offsets: dict[str, int] = {}
    at = 0
    for each in lines:
        at = -(-at // LINE_WORDS) * LINE_WORDS
        for field in each.fields:
            field_name, words = field if isinstance(field, tuple) else (field, 1)
            if field_name in offsets:
                raise ValueError(f"{name}.{field_name} is declared twice")
            offsets[field_name] = at
            at += words
    offsets["SIZE"] = -(-at // LINE_WORDS) * LINE_WORDS
    _registry[name] = (tuple(offsets.items()), tuple(each.writer for each in lines))
    return namedtuple(name, offsets)(**offsets)


def record(name: str, *fields):
    """A structure packed without regard to lines, for arrays of small records: SIZE is what it holds."""
    if name in _registry:
        raise ValueError(f"structure {name} is declared twice")
    offsets = {field: at for at, field in enumerate(fields)}
    offsets["SIZE"] = len(fields)
    _registry[name] = (tuple(offsets.items()), ())
    return namedtuple(name, offsets)(**offsets)


def declared() -> dict[str, tuple]:
    """All structures declared so far: name -> (((field, offset), ...), (writer, ...))."""
    return dict(_registry)


def layout_hash() -> int:
    """63 bits over every structure's names and offsets, in order of name."""
    text = repr(sorted((name, offsets) for name, (offsets, _) in _registry.items()))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def round_to_line(words: int) -> int:
    """`words` rounded up to whole lines."""
    return -(-words // LINE_WORDS) * LINE_WORDS
