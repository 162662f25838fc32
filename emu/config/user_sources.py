"""Sources that a user writes: the names that stand for them, and what can be said of them without running them.

Holds   is_user_source(), UserSource, find_user_source(): file, line and form of the function behind "file.py:function".
Rule    the file is read and parsed, never run. Errors name file and line. Paths start at the scenario's folder.
Limits  whether it compiles is found out by who loads it (emu/policy/user_load.py).
"""

import ast
import re
from pathlib import Path
from typing import NamedTuple

from emu.config.problems import nearest, printable

USER_SOURCES_MAX = 4
PARAMETERS = ("seg", "me", "cpu", "stock", "now")
PUT = "put_page"
PUT_PARAMETERS = ("seg", "me", "cpu", "stock", "pfn")
_NAME = re.compile(r"[^:\0]+\.py:[A-Za-z_]\w*")


class UserSource(NamedTuple):
    """A function in a user's file. line: where it is defined; put_line: where put_page is, 0 without one."""

    name: str
    path: str
    function: str
    line: int
    put_line: int


class BadSource(Exception):
    """What is wrong with it: (rule, way out), both ready for a message."""


def is_user_source(name: str) -> bool:
    """Whether a source's name means a function in a file: "my_policy.py:take_page"."""
    return _NAME.fullmatch(name) is not None


def find_user_source(name: str, folder: Path) -> UserSource:
    """Look it up. Raises BadSource."""
    file, _, function = name.rpartition(":")
    path = folder / file
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadSource(f"no such file seen from the scenario's folder ({printable(str(path))})",
                        "paths start at the scenario file's folder") from None
    except (OSError, ValueError) as error:
        raise BadSource(f"{printable(str(path))} cannot be read: {error}", "name a Python file") from None
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise BadSource(f"{printable(str(path))}:{line}: is no Python: {getattr(error, 'msg', error)}",
                        "correct the file") from None
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if function not in functions:
        near = nearest(function, functions)
        raise BadSource(f"{printable(str(path))} has no function {function}()",
                        f"did you mean {near}?" if near else f"write def {function}({', '.join(PARAMETERS)})")
    _check_form(path, functions[function], PARAMETERS)
    put = functions.get(PUT)
    if put is not None and put is not functions[function]:
        _check_form(path, put, PUT_PARAMETERS)
    return UserSource(name, str(path), function, functions[function].lineno, put.lineno if put else 0)


def _check_form(path, node, parameters):
    arguments = node.args
    extra = arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.defaults
    if extra or len(arguments.posonlyargs) + len(arguments.args) != len(parameters):
        raise BadSource(f"{printable(str(path))}:{node.lineno}: {node.name}() must take {len(parameters)} values",
                        f"write def {node.name}({', '.join(parameters)})")
    if node.decorator_list:
        raise BadSource(f"{printable(str(path))}:{node.lineno}: {node.name}() must have no decorator",
                        "remove it: emu compiles the function itself")
