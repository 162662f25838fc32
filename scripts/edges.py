#!/usr/bin/env python3
"""The table of every ordered edge, from the comments beside the accesses, as emu/README.md shows it.

Holds   read_edges() and table_text(); run as a command it prints the table, with --write it puts it into emu/README.md.
Rule    an end is what scripts/tidy.py takes for one: `REL name:`, `ACQ name:`, `MB name:` in emu/ or workers/. What the
        end keeps in order is the text behind the colon. A place is a file and a function, so the table does not move
        when lines do.
Limits  `as above`, `likewise` and the like say nothing new and are not shown; the place is. Both fences of an edge are
        told with their own words, of releases and acquires only the first.
"""

import ast
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from tidy import EDGE_END, UNORDERED_ROOMS, Source, edge_ends, read_tree  # noqa: E402

sys.path.pop(0)

BEGIN = "<!-- edges: written by scripts/edges.py --write -->"
END = "<!-- end of edges -->"
KINDS = ("REL", "ACQ", "MB")
SAYS_NOTHING = re.compile(r"as (above|below|in)|likewise|see ", re.IGNORECASE)
TEXT_END = re.compile(r"\.? Pairs with|\"\"\"|\.$")


@dataclass
class Edge:
    """One edge: for each kind of end its places (room file, function), by what they keep in order ("": not said)."""

    name: str
    ends: dict[str, dict[str, list[tuple[str, str]]]] = field(default_factory=lambda: {kind: {} for kind in KINDS})

    def add(self, kind: str, text: str, place: tuple[str, str]) -> None:
        """Note an end; a place is told once for each kind, with the first text that says something."""
        texts = self.ends[kind]
        if not text and any(place in places for places in texts.values()):
            return
        if text and place in texts.get("", []):
            texts[""].remove(place)
        if place not in texts.setdefault(text, []):
            texts[text].append(place)


def function_at(source: Source, line: int) -> str:
    """Name of the innermost function that holds a line; "" outside of all."""
    best = None
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef) and node.lineno <= line <= (node.end_lineno or line):
            if best is None or node.lineno > best.lineno:
                best = node
    return best.name if best else ""


def text_behind(line: str, kind: str, name: str) -> str:
    """What an end says it keeps in order."""
    for match in EDGE_END.finditer(line):
        if match[2] == name and kind in match[1]:
            behind = EDGE_END.split(line[match.end() + 1 :], maxsplit=1)[0].strip()
            text = TEXT_END.split(behind, maxsplit=1)[0].strip()
            return "" if SAYS_NOTHING.match(text) else text
    return ""


def read_edges(root: Path) -> dict[str, Edge]:
    """Every edge of the project at `root`, by name, in order of name."""
    edges: dict[str, Edge] = {}
    for source in read_tree(root).below("emu", "workers"):
        if source.room in UNORDERED_ROOMS:
            continue
        for number, line in enumerate(source.lines, 1):
            for kind, name in edge_ends(line):
                place = (source.path.removeprefix("emu/"), function_at(source, number))
                edges.setdefault(name, Edge(name)).add(kind, text_behind(line, kind, name), place)
    return dict(sorted(edges.items()))


def places_text(places: list[tuple[str, str]]) -> str:
    """Places by file: `ring/spsc.py` spsc_enqueue, spsc_dequeue."""
    by_file: dict[str, list[str]] = {}
    for path, function in places:
        by_file.setdefault(path, []).append(function)
    return "; ".join(f"`{path}` " + ", ".join(filter(None, functions)) for path, functions in by_file.items())


def cell(edge: Edge, kind: str) -> str:
    """One end of an edge: what it keeps in order, and where. Of REL and ACQ the first text stands for all places."""
    texts = {text: places for text, places in edge.ends[kind].items() if places}
    said = sorted(texts, key=lambda text: not text)  # those that say something first
    if kind == "MB":
        parts = [(f"*{text}*: " if text else "also ") + places_text(texts[text]) for text in said]
        return "; ".join(parts)
    everywhere = list(dict.fromkeys(place for places in texts.values() for place in places))
    return (f"*{said[0]}*: " if said and said[0] else "") + places_text(everywhere)


def table_text(edges: dict[str, Edge]) -> str:
    """The table in Markdown."""
    rows = ["| edge | REL | ACQ | MB |", "|---|---|---|---|"]
    for edge in edges.values():
        cells = [cell(edge, kind).replace("|", "\\|") for kind in KINDS]
        rows.append(f"| `{edge.name}` | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def with_table(readme: str, table: str) -> str:
    """The README's text with the table between its marks. ValueError where the marks are missing."""
    head, found, rest = readme.partition(BEGIN)
    _, closed, tail = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"the marks {BEGIN!r} and {END!r} are not both there")
    return f"{head}{BEGIN}\n{table}{END}{tail}"


def main(argv: list[str]) -> int:
    """Print the table, or write it."""
    root = Path(__file__).resolve().parent.parent
    table = table_text(read_edges(root))
    if "--write" in argv[1:]:
        readme = root / "emu" / "README.md"
        readme.write_text(with_table(readme.read_text(encoding="utf-8"), table), encoding="utf-8")
    else:
        print(table, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
