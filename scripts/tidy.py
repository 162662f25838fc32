#!/usr/bin/env python3
"""House rules that no general linter knows. Prints `file:line: rule: text`, exits 1 on findings.

Holds   one function per rule, from a tree of parsed files to findings:
          layer    a room imports only rooms to its left, and light rooms nothing that loads Numba
          door     another room is imported through its __init__, not past it
          edge     every ordered access names its edge, every edge has both ends
          width    lines of at most 120 characters
          length   files of at most 400 lines, or a reason in emu/DECISIONS.md
          compiled @jit only where the compile cache's key looks
          dead     no module that nobody imports
Rule    reads text and syntax only; imports nothing of the program, so that a broken tree can be checked.
Limits  an edge end is recognised by its words, `REL name:`, `ACQ name:`, `MB name`; whether the access beside it has
        that order is for the reader (and the litmus tests).
"""

import ast
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

WIDTH = 120
LENGTH = 400
EDGE_REACH = 3  # lines above an ordered access in which its edge comment may stand

# Rooms from left to right; those of one group do not import each other. sync is a group of its own before
# mm and rcu, because both take locks.
LAYERS = (
    ("errors",),
    ("config", "arch"),
    ("shm",),
    ("ring", "stats", "trace"),
    ("sync",),
    ("mm", "rcu"),
    ("vmscan",),
    ("policy",),
    ("kvfree",),
    ("workload", "users",),
    ("boot", "host", "results"),
    ("launch",),
    ("explore", "claims", "sweep"),
    ("report",),
    ("compare",),
    ("cli",),
)
RANK = {room: rank for rank, group in enumerate(LAYERS) for room in group}
# Modules that are commands too: run with -m, they must not be loaded by their room's door before.
SECOND_DOORS = ("emu.workload.ftrace", "emu.policy.api")
FREE_ROOMS = ("bench", "cli", "__main__")  # may import anything
LIGHT_ROOMS = ("errors", "config", "host", "results", "report")  # load in milliseconds: a command line waits for them
LIGHT_IMPORTS = LIGHT_ROOMS  # what a light room may import, layers permitting
HEAVY = ("numba", "llvmlite", "numpy")

UNORDERED_ROOMS = ("arch", "bench", *LIGHT_ROOMS)  # define the operations, time them, or never see the segment
ORDERED = re.compile(
    r"load_acquire|store_release|cmpxchg_(acquire|release|acq_rel)|xchg_acq_rel|fetch_\w+_acq_rel"
    r"|smp_mb|smp_mb_after_atomic"
)
_END = r"(?:REL|ACQ|MB)"
_NAME = r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*"
_KINDS = rf"\b({_END}(?:[ ]?[/+,&_][ ]?{_END})*) "
EDGE_END = re.compile(rf"{_KINDS}({_NAME})(?=:)")  # what declares an end
EDGE_MENTION = re.compile(rf"{_KINDS}{_NAME}(?=:)|{_KINDS}[a-z][a-z0-9_]*\.[a-z0-9_]")  # what an access may lean on
MODULE_NAME = re.compile(r"(emu(?:\.\w+)+)(?::\w+)?")


class Finding(NamedTuple):
    """One broken rule at one place."""

    path: str
    line: int
    rule: str
    text: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.rule}: {self.text}"


class Import(NamedTuple):
    """One imported module or name: `from base import name`, or `import base` with name ""."""

    base: str
    name: str
    line: int

    @property
    def full(self) -> str:
        return f"{self.base}.{self.name}" if self.name else self.base


@dataclass
class Source:
    """One Python file, parsed."""

    path: str  # relative to the project, with slashes
    lines: list[str]
    tree: ast.Module
    imports: list["Import"] = field(default_factory=list)

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def is_door(self) -> bool:
        return self.path.endswith("/__init__.py")

    @property
    def room(self) -> str:
        """Room under emu/ that the file belongs to; "" for emu/__init__.py and for files elsewhere."""
        parts = self.module.split(".")
        return parts[1] if parts[0] == "emu" and len(parts) > 1 else ""


@dataclass
class Tree:
    """The project as the rules see it."""

    root: Path
    sources: dict[str, Source]  # by module name
    broken: list[Finding]

    def below(self, *tops: str) -> list[Source]:
        """The sources in these top-level folders."""
        return [source for source in self.sources.values() if source.path.split("/")[0] in tops]


# --- reading ---------------------------------------------------------------------------------------------


def _absolute(source: Source, node: ast.ImportFrom) -> str:
    """The dotted module that a `from` statement names, relative ones resolved."""
    if node.level == 0:
        return node.module or ""
    package = source.module.split(".") if source.is_door else source.module.split(".")[:-1]
    base = package[: len(package) - (node.level - 1)]
    return ".".join(base + ([node.module] if node.module else []))


def _imports_of(source: Source) -> list[Import]:
    """Everything the file imports, inside functions too; a string that is a module's dotted name counts."""
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, "", node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(source, node)
            found += [Import(base, alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if match := MODULE_NAME.fullmatch(node.value):
                found.append(Import(match[1], "", node.lineno))
    return found


def read_tree(root: Path) -> Tree:
    """Parse every Python file of emu/, workers/, scripts/ and tests/. A syntax error becomes a finding."""
    tree = Tree(root, {}, [])
    for top in ("emu", "workers", "scripts", "tests"):
        for file in sorted((root / top).rglob("*.py")):
            path = file.relative_to(root).as_posix()
            text = file.read_text(encoding="utf-8")
            try:
                source = Source(path, text.splitlines(), ast.parse(text))
            except SyntaxError as error:
                tree.broken.append(Finding(path, error.lineno or 1, "syntax", error.msg))
                continue
            source.imports = _imports_of(source)
            tree.sources[source.module] = source
    return tree


# --- the rules -------------------------------------------------------------------------------------------


def _imported_room(name: str) -> str:
    parts = name.split(".")
    return parts[1] if parts[0] == "emu" and len(parts) > 1 else ""


def layer_findings(tree: Tree) -> list[Finding]:
    """Arrows point left only."""
    found = []
    for source in tree.below("emu"):
        here = source.room
        if not here or here in FREE_ROOMS:
            continue
        if here not in RANK:
            found.append(Finding(source.path, 1, "layer", f"room {here} has no place in LAYERS of scripts/tidy.py"))
            continue
        for each in source.imports:
            name, line, there = each.full, each.line, _imported_room(each.full)
            if here in LIGHT_ROOMS and (name.split(".")[0] in HEAVY or there in RANK and there not in LIGHT_IMPORTS):
                what = f"room {there}" if there else name.split(".")[0]
                found.append(Finding(source.path, line, "layer",
                                     f"{here} is light (loads no Numba) and imports {what}"))
            elif there in RANK and there != here and RANK[there] >= RANK[here]:
                side = "beside" if RANK[there] == RANK[here] else "to the right of"
                found.append(Finding(source.path, line, "layer", f"{here} imports {there}, a room {side} it"))
            elif there in FREE_ROOMS and there not in RANK:
                found.append(Finding(source.path, line, "layer", f"{here} imports {there}, which nothing imports"))
    return found


def _offered(door: Source | None) -> set[str]:
    """Names that a room's __init__.py binds: those may be called like a module of the room."""
    names = set()
    for node in door.tree.body if door else ():
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
    return names


def door_findings(tree: Tree) -> list[Finding]:
    """Another room is entered through its door."""
    found = []
    for source in tree.below("emu", "workers"):
        if source.room in FREE_ROOMS:
            continue
        for each in source.imports:
            there = _imported_room(each.full)
            inner = ".".join(each.full.split(".")[:3])
            if not there or there == source.room or inner not in tree.sources or inner == f"emu.{there}":
                continue
            if inner in SECOND_DOORS:
                continue
            if each.base != f"emu.{there}" or each.name not in _offered(tree.sources.get(each.base)):
                text = f"imports {inner} past the door of its room; take it from emu.{there}"
                found.append(Finding(source.path, each.line, "door", text))
    return found


def edge_ends(line: str) -> list[tuple[str, str]]:
    """(end, edge name) for each end that a line of text names, end one of REL, ACQ, MB."""
    return [(end, match[2]) for match in EDGE_END.finditer(line) for end in re.findall(_END, match[1])]


def _ordered_calls(source: Source) -> list[ast.Call]:
    calls = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            name = str(getattr(node.func, "id", "") or getattr(node.func, "attr", ""))
            if ORDERED.fullmatch(name):
                calls.append(node)
    return calls


def edge_findings(tree: Tree) -> list[Finding]:
    """Every ordered access names its edge; every edge has a releasing and an acquiring end, or two fences."""
    found = []
    ends: dict[str, list[tuple[str, str, int]]] = {}  # edge -> (end, path, line) of each
    for source in tree.below("emu", "workers"):
        if source.room in UNORDERED_ROOMS:
            continue
        for number, line in enumerate(source.lines, 1):
            for end, name in edge_ends(line):
                ends.setdefault(name, []).append((end, source.path, number))
        for call in _ordered_calls(source):
            reach = source.lines[max(0, call.lineno - 1 - EDGE_REACH) : call.end_lineno]
            if not any(EDGE_MENTION.search(line) for line in reach):
                text = f"{ast.unparse(call.func)}() names no edge on its line or the {EDGE_REACH} above"
                found.append(Finding(source.path, call.lineno, "edge", text))
    for name, places in sorted(ends.items()):
        kinds = {end for end, _, _ in places}
        lacks = sorted({"REL", "ACQ"} - kinds)
        if "MB" in kinds:
            lacks = ["second MB"] if len(places) == 1 else []
        if lacks:
            end, path, number = places[0]
            found.append(Finding(path, number, "edge", f"edge {name} has {end} and no {lacks[0]}"))
    return found


def width_findings(tree: Tree) -> list[Finding]:
    """No line over WIDTH characters."""
    return [
        Finding(source.path, number, "width", f"{len(line)} characters, at most {WIDTH}")
        for source in tree.sources.values()
        for number, line in enumerate(source.lines, 1)
        if len(line) > WIDTH
    ]


def length_findings(tree: Tree) -> list[Finding]:
    """No file over LENGTH lines, unless emu/DECISIONS.md says why."""
    decisions = tree.root / "emu" / "DECISIONS.md"
    reasons = decisions.read_text(encoding="utf-8") if decisions.is_file() else ""
    return [
        Finding(source.path, len(source.lines), "length",
                f"{len(source.lines)} lines, at most {LENGTH}, or a reason in emu/DECISIONS.md that names the file")
        for source in tree.sources.values()
        if len(source.lines) > LENGTH and source.path not in reasons
    ]


def compiled_rooms(tree: Tree) -> tuple[str, ...]:
    """COMPILED_ROOMS as emu/arch/jit.py has it."""
    jit = tree.sources.get("emu.arch.jit")
    for node in jit.tree.body if jit else ():
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "COMPILED_ROOMS":
            return tuple(ast.literal_eval(node.value))
    return ()


def compiled_findings(tree: Tree) -> list[Finding]:
    """A compiled function stands in a file that the compile cache's key covers."""
    allowed = compiled_rooms(tree)
    found = []
    for source in tree.below("emu"):
        if source.room in allowed:
            continue
        functions = [node for node in ast.walk(source.tree) if isinstance(node, ast.FunctionDef)]
        for node in functions:
            for decorator in node.decorator_list:
                if (getattr(decorator, "id", None) or getattr(decorator, "attr", "")) == "jit":
                    text = f"@jit {node.name}: room {source.room} is not in COMPILED_ROOMS of emu/arch/jit.py"
                    found.append(Finding(source.path, decorator.lineno, "compiled", text))
    return found


def _used_modules(tree: Tree) -> set[str]:
    """Modules that some other module of the program imports, and the rooms that they are in."""
    used = set()
    for source in tree.below("emu", "workers", "scripts"):
        for each in source.imports:
            parts = each.full.split(".")
            # `from emu.mm import x` names emu.mm, and emu.mm.x if that is a module
            for depth in range(2, len(parts) + 1):
                module = ".".join(parts[:depth])
                if module != source.module and not source.module.startswith(module + "."):
                    used.add(module)
    return used


def dead_findings(tree: Tree) -> list[Finding]:
    """Every module of emu/ is imported by another one; a command's main and a benchmark need not be."""
    used = _used_modules(tree)
    return [
        Finding(source.path, 1, "dead", "no module imports it")
        for source in tree.below("emu")
        if source.room and source.room not in FREE_ROOMS and source.module not in used
    ]


RULES = (layer_findings, door_findings, edge_findings, width_findings, length_findings, compiled_findings,
         dead_findings)


def check(root: Path) -> list[Finding]:
    """All findings in the project at `root`, in order of place."""
    tree = read_tree(root)
    found = list(tree.broken)
    for rule in RULES:
        found += rule(tree)
    return sorted(set(found))


def main(argv: list[str]) -> int:
    """Check the project at argv[1], by default the one this file is in."""
    root = Path(argv[1]) if len(argv) > 1 else Path(__file__).resolve().parent.parent
    findings = check(root)
    for finding in findings:
        print(finding)
    print(f"tidy: {len(findings)} findings" if findings else "tidy: clean")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
