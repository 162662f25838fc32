"""The one compile decorator, and the cache folder that goes with it.

Holds   jit(), and the choice between compiled and interpreted bodies, made once at import.
Rule    with EMU_JIT=0 every decorated function stays the plain Python function it was written as: the
        same source then runs single-stepped. Compiled code is cached on disk in a folder keyed by a hash
        of all sources that can reach compiled code, because Numba's own cache sees a change only in
        the file of the function itself, never in a constant or a helper of another file.
Limits  functions take a `Words` segment and int64 values, and return int64 values or nothing.
"""

import hashlib
import os
import platform
import shutil
from pathlib import Path

JIT = os.environ.get("EMU_JIT", "1") != "0"

PACKAGE = Path(__file__).resolve().parent.parent
# Folders whose files can end up in compiled code; the hash covers each of their files.
COMPILED_ROOMS = (
    "arch", "shm", "ring", "stats", "trace", "sync", "mm", "rcu", "vmscan", "policy", "kvfree", "workload", "users",
    "boot", "bench",
)
KEPT_CACHES = 4  # folders of earlier sources kept beside the present one


def compiled_sources() -> list[Path]:
    """Every file whose text can reach compiled code, in a fixed order."""
    roots = [PACKAGE / room for room in COMPILED_ROOMS] + [PACKAGE.parent / "workers"]
    files: list[Path] = []
    for root in roots:
        files += sorted(root.rglob("*.py"))
    return [f for f in files if f.is_file()]


def sources_hash() -> str:
    """16 hex digits over the compiled sources, the Numba and Python versions and the machine type."""
    import numba

    digest = hashlib.sha256()
    for part in (numba.__version__, platform.python_version(), platform.machine(), platform.processor()):
        digest.update(part.encode() + b"\0")
    for source in compiled_sources():
        digest.update(str(source.relative_to(PACKAGE.parent)).encode() + b"\0")
        digest.update(source.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def cache_root() -> Path:
    """Folder above all keyed cache folders: $EMU_CACHE_DIR, else the user's cache directory."""
    if override := os.environ.get("EMU_CACHE_DIR"):
        return Path(override)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "emu"


def _prune(root: Path, current: str) -> None:
    """Keep the newest KEPT_CACHES folders of other sources; a run that still loads from one just compiles."""
    others = sorted((d for d in root.glob("jit-*") if d.name != current), key=lambda d: d.stat().st_mtime)
    for old in others[:-KEPT_CACHES]:
        shutil.rmtree(old, ignore_errors=True)


def _use_cache() -> None:
    import numba

    root = cache_root()
    name = f"jit-{sources_hash()}"
    try:
        (root / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        _prune(root, name)
    except OSError:
        return  # read-only home: Numba falls back to its own rules, at worst compiling anew
    numba.config.CACHE_DIR = str(root / name)


if JIT:
    _use_cache()
    import numba as _numba

    def jit(function):
        """Compile `function` on first use for the argument types it meets; cached on disk."""
        return _numba.njit(
            function, cache=True, nogil=False, boundscheck=False, error_model="numpy", fastmath=False,
            no_cfunc_wrapper=True,
        )

else:

    def jit(function):
        """Leave `function` as it is: the interpreted half of the two-bodied design."""
        return function
