"""What a record must hold: its keys and their types, and the check that names what is wrong.

Holds   SCHEMA, problems() and blank(), nothing that reads or writes a file.
Rule    a key of SCHEMA must be there and be of its type; further keys are allowed anywhere, so that a newer
        writer of the same version stays readable. What /proc tells of a process may be None: it may have
        died before it was asked.
Limits  at most MAX_PROBLEMS are named; the first ones say enough.
"""

import math
from itertools import islice
from typing import NamedTuple

from emu.results.buckets import COUNTS_LEN

MAX_PROBLEMS = 10
_INT_MIN, _INT_END = -(2**63), 2**64  # what msgpack can carry


class MapOf(NamedTuple):
    """Any text keys, every value of one kind."""

    value: object


class Maybe(NamedTuple):
    """The kind, or None."""

    kind: object


class Optional(NamedTuple):
    """A key that may be missing."""

    kind: object


class OneOf(NamedTuple):
    """One of a few words."""

    words: tuple


class Rows(NamedTuple):
    """A long list of short rows, checked in one expression because a run has very many."""

    fits: object
    rule: str


def _bucket_fits(row):
    return (type(row) is list and len(row) == 2 and type(row[0]) is int and type(row[1]) is int
            and 0 <= row[0] < COUNTS_LEN and 0 <= row[1] < _INT_END)


def _event_fits(row):
    return (type(row) is list and len(row) == 4 and type(row[1]) is str
            and all(type(row[i]) is int and _INT_MIN <= row[i] < _INT_END for i in (0, 2, 3)))


PROCESS = {
    "name": str, "role": str, "cpu": Maybe(int), "cores": [int], "pid": Maybe(int), "class": Maybe(str),
    "priority": Maybe(int), "nice": Maybe(int), "last_core": Maybe(int), "exit": str, "run_ns": Maybe(int),
    "run_delay_ns": Maybe(int), "voluntary_switches": Maybe(int), "involuntary_switches": Maybe(int),
    "private_kib": Maybe(int), "noise_max_ns": Maybe(int), "noise_share": Maybe(float),
}
HISTOGRAM = {
    "total": int, "sum": int, "min": int, "max": int, "clamped": int,
    "counts": Rows(_bucket_fits, f"[bucket 0..{COUNTS_LEN - 1}, count >= 0]"),
}
CPU = {
    "cpu": int, "calls": int, "fallback_list": int, "fallback_sync": int, "misses": int, "windows": int,
    "window_ns": int, "open_window": bool, "pages_peak": int, "pages_ns": int, "cache_idle_ns": int,
    "static_idle_ns": int, "enqueued": int, "freed": int, "queued_at_end": int,
}
LEDGER = {
    "managed": int, "buddy": int, "pcp": int, "cache": int, "static": int, "bnode": int, "slab": int,
    "vmalloc": int, "other": int, "lost": int, "orphans": [{"pfn": int, "state": str, "owner": str}],
    "objects": {"allocated": int, "live": int, "queued": int, "freed": int},
}
SCHEMA = {
    "format": str, "version": int, "emu_version": str, "created_unix": float, "command": [str],
    "scenario": {"path": str, "text": str, "resolved": dict, "provenance": MapOf(str)},
    "verdict": {"word": OneOf(("INCOMPLETE", "INVALID", "VALID")), "reasons": [str]},
    "degraded": [str], "marks": [str], "host": dict,
    "duration_ns": int, "elapsed_ns": int, "start_ns": int,
    "processes": [PROCESS],
    "counters": {"names": [str], "per_process": MapOf([int])},
    "histograms": MapOf({"unit": str, "per_process": MapOf(HISTOGRAM)}),
    "events": MapOf({"lost": int, "records": Rows(_event_fits, "[t_ns, name, a, b]")}),
    "cpus": [CPU],
    "footprint": {"peak_all": int, "pages_ns_all": int},
    "ledger": LEDGER,
    "invariants": [{"name": str, "ok": bool, "detail": str}],
    "lockdep": {
        "enabled": bool, "on_violation": str, "preempt_count": bool,
        "splats": [{"kind": str, "time_ns": int, "process": str, "cpu": int, "context": str, "wanted": str,
                    "wanted_type": str, "held": [{"name": str, "type": str}]}],
    },
    "locks": [{"name": str, "acquired": int, "contended": int, "wait_ns": int, "hold_ns": int,
               "hold_max_ns": int, "holder_descheduled": int}],
    "stalls": [{"process": str, "kind": str, "start_ns": int, "length_ns": int, "detail": str}],
    "gp": {"started": int, "ended": int, "hz": int},
    "zones": [{"node": int, "name": str, "managed": int, "min": int, "low": int, "high": int, "lowmem_reserve": int,
               "nr_free_min": int, "nr_free_end": int, "pcp": int, "boost": int, "reserved_highatomic": int,
               "free_highatomic": int}],
    "zone": {"min": int, "low": int, "high": int, "managed": int, "nr_free_min": int, "nr_free_end": int},
    "recorded": Maybe({"source": Optional(str), "calls": Optional(int)}),
    "rcuscale": Maybe({"total_ns": int, "loops": int, "batches": int, "footprint_mb": float, "threads": int}),
    "clock": {"kind": str, "error_ppm": float},
    "dma_latency": {"held": bool, "reason": str},
}

_WORDS = {str: "text", int: "a whole number of 64 bits", float: "a finite number", bool: "true or false",
          dict: "a table"}


def blank(kind=None):
    """The emptiest value that fits `kind`; without one a whole record, "INCOMPLETE", for a writer to fill."""
    if kind is None:
        kind = SCHEMA
    if isinstance(kind, Maybe):
        return None
    if isinstance(kind, OneOf):
        return kind.words[0]
    if isinstance(kind, list | Rows):
        return []
    if isinstance(kind, MapOf):
        return {}
    if isinstance(kind, dict):
        return {key: blank(item) for key, item in kind.items() if not isinstance(item, Optional)}
    return kind()


def _shown(value):
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _scalar_fits(value, kind):
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    if kind is int:
        return type(value) is int and _INT_MIN <= value < _INT_END
    return type(value) is kind


def _walk(value, kind, path):
    """Yield (path, value, rule) for each misfit; rule None means that the key is missing."""
    if isinstance(kind, Maybe | Optional):
        if value is not None or isinstance(kind, Optional):
            yield from _walk(value, kind.kind, path)
    elif isinstance(kind, type):
        if not _scalar_fits(value, kind):
            yield path, value, "must be " + _WORDS[kind]
    elif isinstance(kind, OneOf):
        if value not in kind.words:
            yield path, value, "must be " + ", ".join(kind.words[:-1]) + " or " + kind.words[-1]
    elif isinstance(kind, list | Rows):
        yield from _walk_list(value, kind, path)
    elif type(value) is not dict:
        yield path, value, "must be a table"
    elif isinstance(kind, MapOf):
        for key, item in value.items():
            if type(key) is str:
                yield from _walk(item, kind.value, f"{path}.{key}")
            else:
                yield path, key, "keys must be text"
    else:
        yield from _walk_table(value, kind, path)


def _walk_list(value, kind, path):
    if type(value) is not list:
        yield path, value, "must be a list"
    elif isinstance(kind, list):
        for i, item in enumerate(value):
            yield from _walk(item, kind[0], f"{path}[{i}]")
    else:
        for i, row in enumerate(value):
            if not kind.fits(row):
                yield f"{path}[{i}]", row, "must be " + kind.rule


def _walk_table(value, kind, path):
    for key, item_kind in kind.items():
        below = f"{path}.{key}" if path else key
        if key in value:
            yield from _walk(value[key], item_kind, below)
        elif not isinstance(item_kind, Optional):
            yield below, None, None


def _cross(record):
    """What one key demands of another; only asked of a record whose types fit."""
    wanted = len(record["counters"]["names"])
    for name, values in record["counters"]["per_process"].items():
        if len(values) != wanted:
            yield f"counters.per_process.{name} has {len(values)} values: must be {wanted}, one for each name"


def misfits(record, schema):
    """Where `record` departs from `schema`, in words; an empty list when it fits. Never raises."""
    found = list(islice(_walk(record, schema, ""), MAX_PROBLEMS))
    missing = [path for path, _, rule in found if rule is None]
    texts = ["missing keys: " + ", ".join(missing)] if missing else []
    return texts + [f"{path or 'record'} = {_shown(value)}: {rule}" for path, value, rule in found if rule]


def problems(record):
    """What is wrong with `record`, in words; an empty list when it fits SCHEMA. Never raises."""
    return misfits(record, SCHEMA) or list(islice(_cross(record), MAX_PROBLEMS))
