"""Lines and tables that keep within a width, whatever the record says.

Rule    a line has at most `width` cells; text is broken between words, and inside one only where it alone
        is too long. Characters that a terminal would obey instead of show (a scenario's text is somebody's
        input) print as "?". In a table the columns after the first keep their width; the first gives way.
Limits  a cell is what Unicode says: two for wide East Asian characters, none for combining marks.
"""

import unicodedata

from emu.report.numbers import NBSP

CUT = ".."


def cells(text):
    """Columns that `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_cell(ch) for ch in text)


def _cell(ch):
    if unicodedata.combining(ch):
        return 0
    return 2 if unicodedata.east_asian_width(ch) in "WF" else 1


def clean(text):
    """`text` without line breaks and without anything that steers a terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(ch if ch.isprintable() or ch == NBSP else " " if ch.isspace() else "?" for ch in text)


def _take(text, width):
    """As many leading characters as fit in `width` cells, at least one; and the rest."""
    used = 0
    for i, ch in enumerate(text):
        used += _cell(ch)
        if used > width and i:
            return text[:i], text[i:]
    return text, ""


def clip(text, width):
    """`text` in at most `width` cells (>= 4), ending in ".." if something was cut off."""
    text = clean(text)
    return text if cells(text) <= width else _take(text, width - len(CUT))[0] + CUT


def wrap(text, width, first="", rest=None):
    """`text` as lines of at most `width` cells: `first` before the first line, `rest` before the others."""
    rest = " " * cells(first) if rest is None else rest
    lines, line, empty = [], first, True
    for word in clean(text).split(" "):
        if not word:
            continue
        if not empty and cells(line) + 1 + cells(word) > width:
            lines.append(line)
            line, empty = rest, True
        while cells(line) + (not empty) + cells(word) > width and cells(word) > 1:
            head, word = _take(word, width - cells(line))
            lines.append(line + head)
            line, empty = rest, True
            if not word:
                break
        if word:
            line, empty = line + ("" if empty else " ") + word, False
    if not empty or not lines:
        lines.append(line)
    return lines


def labelled(label, text, width, column=10):
    """A label, then text beside it that wraps under itself."""
    return wrap(text, width, label.ljust(column - 1) + " ", " " * column)


def table(header, rows, width, indent=2, left=1):
    """Rows of text under a header, columns two apart (one when it is tight); the first `left` are left-aligned.

    The first column is cut when all do not fit. Returns lines; none when there are no rows.
    """
    if not rows:
        return []
    grid = [[clean(cell) for cell in row] for row in [header, *rows]]
    widths = [max(cells(row[i]) for row in grid) for i in range(len(header))]
    gap = 2 if indent + sum(widths) + 2 * (len(widths) - 1) <= width else 1
    surplus = indent + sum(widths) + gap * (len(widths) - 1) - width
    if surplus > 0:
        widths[0] = max(widths[0] - surplus, 6)
    lines = []
    for row in grid:
        fitted = [_fit(cell, widths[i], i < left) for i, cell in enumerate([clip(row[0], widths[0]), *row[1:]])]
        lines.append(clip((" " * indent + (" " * gap).join(fitted)).rstrip(), width))
    return lines


def _fit(text, width, to_left):
    pad = " " * (width - cells(text))
    return text + pad if to_left else pad + text
