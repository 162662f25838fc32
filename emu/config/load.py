"""TOML in, a checked Scenario out.

Holds   load_scenario() for a file, parse_scenario() for a text, parse_override() for KEY=VALUE options.
Rule    every problem that can be seen key by key is reported at once; nothing is guessed. An override counts
        as written by the user and is named "--set" in messages.
Limits  a file of at most 1 MiB, UTF-8. What a None stands for is decided in resolve.py.
"""

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from emu.config.check import check
from emu.config.machines import machine_values
from emu.config.problems import printable, raise_problems
from emu.config.schema import Keys
from emu.errors import ConfigError

FILE_BYTES_MAX = 1 << 20
_AT = re.compile(r"^(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A scenario as its author wrote it, every key checked by itself.

    keys        the schema's record; None where the author left it to epoch, preset or formula
    path, text  the file's name as it was given, and what it holds
    folder      what relative paths in it start from
    written     dotted names of the keys that the author (or an override) set; overridden: by an override
    machine     dotted names of the keys whose value is that of run.machine
    """

    keys: Keys
    path: str
    text: str
    folder: Path
    written: frozenset
    overridden: frozenset
    machine: frozenset = frozenset()

    def name_of(self, key: str) -> str:
        """What a message about `key` begins with: the file, or the option that set it."""
        return "--set" if key.split("[")[0] in self.overridden else self.path


def load_scenario(path, overrides: Mapping[str, object] | None = None) -> Scenario:
    """Read and check the scenario file at `path`. Raises ConfigError with all its problems, one per line."""
    path = Path(path)
    return parse_scenario(_read(path), printable(str(path)), path.parent, overrides)


def parse_scenario(text: str, name: str = "scenario", folder=Path(), overrides=None) -> Scenario:
    """Check a scenario given as text. `name` is what messages call it; `folder` is where relative paths start.

    overrides: dotted name to value, applied over the text as if written in it. Raises ConfigError.
    """
    overrides = dict(overrides or {})
    document = _parse(text, name)
    for dotted, value in overrides.items():
        if isinstance(value, dict):
            rule = "must name one key, not a section"
            raise ConfigError(f"--set {printable(dotted)}: {rule}; give each key its own --set")
        _put(document, dotted, list(value) if isinstance(value, tuple) else value)
    problems, values = check(document)
    overridden = frozenset(overrides)
    raise_problems(problems, lambda key: "--set" if key.split("[")[0] in overridden else name)
    written = frozenset(values)
    machine = machine_values(str(values.get("run.machine", "")), written, _scale(values))
    keys = msgspec.convert(_nested(machine | values), Keys)
    return Scenario(keys, name, text, Path(folder), written, overridden, frozenset(machine))


def _scale(values) -> float:
    """How far memory is shrunk."""
    scale = values.get("memory.scale", 1.0)
    return float(scale) if isinstance(scale, int | float) else 1.0


def parse_override(option: str) -> tuple[str, object]:
    """("run.hz", 1000) from "run.hz=1000". A value that is not TOML is taken as a string."""
    dotted, equals, value = option.partition("=")
    dotted = dotted.strip()
    if not equals or not dotted:
        raise ConfigError(f"--set {printable(option)}: must be KEY=VALUE; for example --set run.hz=1000")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):
        return dotted, value.strip()
    return dotted, parsed["value"] if len(parsed) == 1 else value.strip()


def _read(path: Path) -> str:
    name = printable(str(path))
    try:
        if path.is_dir():
            raise ConfigError(f"{name}: is a directory; name a scenario file in it, such as {name}/first.toml")
        if path.exists() and not path.is_file():
            raise ConfigError(f"{name}: is not a regular file; copy the scenario into a file first")
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise ConfigError(f"{name}: no such file; scenarios are in configs/, for example configs/first.toml") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{name}: cannot be read: {reason}; check the name and the permissions") from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(f"{name}: more than {FILE_BYTES_MAX} bytes; a scenario is a short TOML text, is this one?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = f"byte 0x{data[error.start]:02x}"
        raise ConfigError(f"{name}: line {line}: not UTF-8 ({byte}); save it as UTF-8") from None


def _parse(text, name):
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {_syntax(str(error), text)}") from None
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply; a scenario has sections, keys and short lists") from None
    except ValueError as error:
        raise ConfigError(f"{name}: a value cannot be read: {error}; use a shorter number") from None


def _syntax(message, text):
    """Where and what, and the line itself, since TOML's words alone seldom tell which quote is missing."""
    found = _AT.match(message)
    if not found:
        return f"not TOML: {printable(message)}; see configs/default.toml"
    lines = text.splitlines() or [""]
    line = int(found["line"] or len(lines))
    column = int(found["column"] or len(lines[-1]) + 1)
    shown = printable(lines[line - 1].strip())[:60] if line <= len(lines) else ""
    what = printable(found["what"])
    return f"line {line}, column {column}: not TOML: {what}, in `{shown}`; see configs/default.toml for the form"


def _put(document, dotted, value):
    """Set a key of a nested dict. Where a part of the way is no table, the check will say so."""
    *sections, leaf = dotted.split(".")
    table = document
    for section in sections:
        inner = table.setdefault(section, {})
        if not isinstance(inner, dict):
            rule = f"{printable(section)} is a key, not a section"
            raise ConfigError(f"--set {printable(dotted)}: {rule}; see configs/default.toml")
        table = inner
    table[leaf] = value


def _nested(values):
    document: dict = {}
    for dotted, value in values.items():
        _put(document, dotted, value)
    return document
