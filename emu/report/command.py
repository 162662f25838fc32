"""The command that repeats a run, in a form that a shell takes back as it stands.

Rule    what is printed, pasted into bash, gives exactly the recorded arguments. A line that would be too
        long ends in a backslash; where one argument alone is too long it is cut in two quoted pieces with
        nothing between backslash, line end and next piece, which a shell joins again.
"""

import shlex

from emu.report.tables import cells


def quoted(word):
    """One argument for bash: bare, in single quotes, or byte by byte where it holds control characters."""
    if word.isprintable() and not any(0xD800 <= ord(ch) <= 0xDFFF for ch in word):
        return shlex.quote(word)
    data = word.encode("utf-8", "surrogateescape")
    return "$'" + "".join(chr(b) if 32 <= b < 127 and b not in b"'\\" else f"\\x{b:02x}" for b in data) + "'"


def _pieces(word, width):
    """`word` cut so that each quoted piece fits in `width` cells; one piece if it fits as it is."""
    if cells(quoted(word)) <= width or len(word) == 1:
        return [quoted(word)]
    half = len(word) // 2
    return _pieces(word[:half], width) + _pieces(word[half:], width)


def command_lines(argv, width, first=""):
    """`argv` as lines of at most `width` cells, `first` before the first; continued lines end in a backslash."""
    lines, line, fresh = [], first, True
    for word in argv:
        for i, piece in enumerate(_pieces(word, width - 4)):
            space = "" if fresh or i else " "
            if i or cells(line + space + piece) + 2 > width:
                lines.append(line + "\\" if i else line.rstrip() + " \\")
                line, space = ("  " if not i else ""), ""
            line, fresh = line + space + piece, False
    return [*lines, line]
