"""A scenario file's problems: found all at once, worded one per line.

Holds   Problem, the wording of values and types, and nearest() for slips of the pen.
Rule    FILE: KEY = VALUE: RULE; WAY OUT. At most MAX_LINES lines; the rest is counted. Whatever came from the
        file is printed with control characters escaped and cut to a length.
Limits  wording only; what is wrong is decided in check.py, resolve.py and rules.py.
"""

import json
from typing import NamedTuple

from emu.errors import ConfigError

MAX_LINES = 10
_VALUE_CHARS = 60
_MISSING = object()


class Problem(NamedTuple):
    """One broken rule. `key` is dotted, or "" where the file as a whole is meant. forceable: --force may run it."""

    key: str
    rule: str
    way_out: str
    value: object = _MISSING
    forceable: bool = False


def enforce(problems, force, name_of) -> tuple[str, ...]:
    """Raise for all that is broken; with `force`, what is safe to run becomes remarks instead, which are returned."""
    safe = [problem for problem in problems if force and problem.forceable]
    raise_problems([problem for problem in problems if problem not in safe], name_of)
    return tuple("forced: " + _line(problem._replace(forceable=False), name_of(problem.key)) for problem in safe)


def raise_problems(problems, name_of):
    """Raise ConfigError with every problem, one per line. name_of(key) names the file or option it came from."""
    if not problems:
        return
    lines = [_line(problem, name_of(problem.key)) for problem in problems[:MAX_LINES]]
    if len(problems) > MAX_LINES:
        lines[-1] = f"{name_of('')}: and {len(problems) - MAX_LINES + 1} more problems; correct the ones above first"
    raise ConfigError("\n".join(lines))


def _line(problem, name):
    place = f"{name}: " + printable(problem.key)
    if problem.value is not _MISSING:
        place += f" = {show(problem.value)}"
    return f"{place}: {problem.rule}; {problem.way_out}" + ("; --force runs it" if problem.forceable else "")


def show(value) -> str:
    """A value as TOML would write it, on one line, cut to a length."""
    text = printable(_toml(value))
    return text if len(text) <= _VALUE_CHARS else text[: _VALUE_CHARS - 3] + "..."


def _toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value[: _VALUE_CHARS + 1], ensure_ascii=False)
    if isinstance(value, int):
        return _whole(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(each) for each in value[:_VALUE_CHARS]) + "]"
    if isinstance(value, dict):
        return "{...}"
    return str(value)


def _whole(value):
    if abs(value) >= 10**_VALUE_CHARS:
        return "a number of more than 60 digits"
    return f"{value:_}" if abs(value) >= 10_000 else str(value)


def printable(text: str) -> str:
    """Text with everything that a terminal would act on escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def nearest(word: str, known) -> str:
    """The known word most like `word`, or "" if none is like it."""
    import difflib  # only needed once something is wrong

    lowered = {each.lower(): each for each in known}
    found = difflib.get_close_matches(word.lower()[:200], lowered, n=1, cutoff=0.6)
    return lowered[found[0]] if found else ""


def one_of(known) -> str:
    """The rule text for a choice."""
    shown = [show(each) for each in known]
    return "must be " + (shown[0] if len(shown) == 1 else "one of " + ", ".join(shown))
