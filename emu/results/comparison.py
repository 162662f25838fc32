"""A comparison of runs as one file: what was varied, what each run gave, medians with their intervals.

Holds   the shape of a comparison, blank_comparison(), write_comparison(), read_comparison(), is_comparison().
Rule    the file has the envelope of a result (record.py) under a format name of its own. It holds the figures, not the
        runs: each run is a result file of its own, named here. Intervals are stored, not computed again by readers.
Limits  one version.
"""

from emu.errors import ResultError
from emu.results.record import is_format, pack, read_bytes, unpack, write_bytes
from emu.results.schema import MapOf, Maybe, OneOf, blank, misfits

COMPARISON_FORMAT = "emu-comparison"
COMPARISON_VERSION = 1

# How an arm stands against the reference: a ratio where every value is above zero, else a difference.
AGAINST = {"kind": OneOf(("difference", "ratio")), "value": float, "low": float, "high": float, "significant": bool,
           "too_few": bool}
SCHEMA = {
    "format": str, "version": int, "emu_version": str, "created_unix": float, "command": [str],
    "scenario": {"path": str, "text": str}, "question": str, "host": str, "ended": str, "repeats": int,
    "arms": [{"name": str, "overrides": dict}],
    "runs": [{"arm": int, "repeat": int, "file": Maybe(str), "verdict": str, "reasons": [str],
              "values": MapOf(Maybe(float))}],
    "metrics": [{"name": str, "label": str, "unit": str, "group": str}],
    "cells": [{"metric": str, "arm": int, "n": int, "median": float, "low": float, "high": float,
               "against": Maybe(AGAINST)}],
}


def blank_comparison():
    """A comparison with every key and no run."""
    return blank(SCHEMA) | {"format": COMPARISON_FORMAT, "version": COMPARISON_VERSION}


def _check(comparison, name):
    found = misfits(comparison, SCHEMA)
    if found:
        raise ResultError(f"{name}: " + "; ".join(found) + f"; not a comparison of version {COMPARISON_VERSION}: "
                          "compare again, or take another copy of the file")


def write_comparison(comparison, path):
    """Write it to `path`, whole, by rename. Returns the path; ResultError when it does not fit or cannot be written."""
    _check(comparison, str(path))
    return write_bytes(pack(comparison, str(path), COMPARISON_FORMAT, COMPARISON_VERSION), path)


def is_comparison(path):
    """True if the file at `path` begins as a comparison. ResultError when it cannot be read."""
    return is_format(read_bytes(path), COMPARISON_FORMAT)


def read_comparison(path):
    """The comparison in the file at `path`, checked. ResultError when it is none, damaged or newer."""
    comparison, version = unpack(read_bytes(path), str(path), COMPARISON_FORMAT)
    if version != COMPARISON_VERSION:
        raise ResultError(f"{path}: version = {version}: this emu reads version {COMPARISON_VERSION}; "
                          "read it with the emu that made it")
    _check(comparison, str(path))
    return comparison
