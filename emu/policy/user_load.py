"""Loading sources of the user's own: import the file, compile its functions, bind the hooks.

Rule    before any fork, in the launcher. Every function of the file is compiled, so that they may call each other. What
        goes wrong is a ConfigError that names file and line. Compiled code is kept in a folder of the file's own
        hash beside the emulator's: a changed file never meets old code.
Limits  a file is loaded once per process, under a name made of its hash; modules that it imports itself are not looked
        at, and a change in them is not seen by the cache.
"""

import ast
import hashlib
import importlib.util
import re
import sys
import traceback
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emu.arch import JIT, jit, jit_apart
from emu.errors import ConfigError
from emu.policy.user import put_hooks, take_hooks

_loaded: dict[tuple[str, str], types.ModuleType] = {}
_UNKNOWN = re.compile(r"name '(?P<name>\w+)' is not defined")
_LINE = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')


def load_user_sources(sources) -> None:
    """Load and bind each: records with path, function, put_line (emu.config's UserSource). Raises ConfigError."""
    for k, source in enumerate(sources):
        path = Path(source.path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        module = _load(path, digest, {source.function} | ({"put_page"} if source.put_line else set()))
        take_hooks[k].bind(getattr(module, source.function))
        if source.put_line:
            put_hooks[k].bind(module.put_page)
        for function in [source.function] + (["put_page"] if source.put_line else []):
            _compile(path, getattr(module, function), function)


def _load(path: Path, digest: str, apart: set[str]) -> types.ModuleType:
    """Run the file as a module and wrap its functions: those in `apart` are called through hooks."""
    key = (str(path.resolve()), digest)
    if key not in _loaded:
        name = f"emu_user_{path.stem}_{digest}_{len(_loaded)}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            from emu.policy import api

            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
            line = frames[-1].lineno if frames else 1
            raise ConfigError(f"{path}:{line}: cannot be loaded: {type(error).__name__}: {error}; correct the file; "
                              f"emu.policy.api has {', '.join(api.__all__)}") from None
        _loaded[key] = module
    module = _loaded[key]
    with _cache_of(digest):
        for name, value in list(vars(module).items()):
            if isinstance(value, types.FunctionType) and value.__module__ == module.__name__:
                setattr(module, name, jit_apart(value) if name in apart else jit(value))
    return module


def _compile(path: Path, function, name: str) -> None:
    """Compile now: an error is told before anything runs. An interpreted run finds errors when it meets them."""
    if not JIT:
        return
    from numba.core.errors import NumbaError

    try:
        function.compile()
    except (NumbaError, AssertionError, NotImplementedError) as error:
        text = str(error)
        at = next((int(found["line"]) for found in reversed(list(_LINE.finditer(text)))
                   if Path(found["file"]).name == path.name), 0)
        if unknown := _UNKNOWN.search(text):  # the only error that Numba tells without a line
            at = next((node.lineno for node in ast.walk(ast.parse(path.read_text()))
                       if isinstance(node, ast.Name) and node.id == unknown["name"]), at)
        at = at or function._dispatcher.py_func.__code__.co_firstlineno
        said = next((line.strip() for line in text.splitlines()
                     if line.strip() and not line.startswith(("Failed in", "During"))), type(error).__name__)
        raise ConfigError(f"{path}:{at}: {name}() does not compile: {said}; use integers, seg[...] and what "
                          "emu.policy.api has") from None


@contextmanager
def _cache_of(digest: str) -> Iterator[None]:
    """Compiled code of what is wrapped meanwhile goes into a folder of its own."""
    if not JIT:
        yield
        return
    import numba

    before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    numba.config.CACHE_DIR = str(Path(before) / f"user-{digest}") if before else before  # type: ignore[attr-defined]
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before  # type: ignore[attr-defined]
