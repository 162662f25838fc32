"""A resolved scenario as a table for a reader: key, value, and where the value comes from.

Holds   explain().
Rule    no line is wider than WIDTH; a value that does not fit is cut, with dots that say so.
Limits  for reading; as_record() is for programs.
"""

from emu.config.problems import show
from emu.config.resolved import Resolved, as_record, flatten

WIDTH = 80
_ORIGIN = 8


def explain(resolved: Resolved) -> str:
    """Every value of the scenario, one line each, by section; its notes at the end."""
    values, provenance = as_record(resolved)
    notes = values.pop("notes")
    lines, section = [], None
    tables = {name: value for name, value in values.items() if _is_tables(value)}
    for dotted, value in flatten({name: value for name, value in values.items() if name not in tables}).items():
        here = dotted.rpartition(".")[0]
        if here != section and here:
            lines += ["", f"[{here}]"]
        section = here
        lines.append(_line(dotted.rpartition(".")[2], value, provenance[dotted]))
    for name, rows in tables.items():
        for row in rows:
            lines += ["", f"[[{name}]]", *(_line(leaf, each, provenance[name]) for leaf, each in flatten(row).items())]
    lines += ["", *(piece for note in notes for piece in _wrapped(note))]
    return "\n".join(lines).strip("\n") + "\n"


def _is_tables(value):
    """An array of tables that holds one at least."""
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], dict)


def _line(leaf, value, origin):
    room = WIDTH - _ORIGIN - 1
    text = f"{leaf:<22} = {show(value)}"
    if len(text) > room:
        text = text[: room - 3] + "..."
    return f"{text:<{room}} {origin}".rstrip()


def _wrapped(note):
    import textwrap  # only needed to print

    return textwrap.wrap(note, WIDTH, initial_indent="note: ", subsequent_indent="      ")
