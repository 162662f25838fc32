"""A record with its sums made: what every part of the report asks for, computed once.

Holds   View: counters summed, histograms merged, totals over CPUs, the noise floor. Prints nothing but
        latencies, because the mark of a latency below the noise floor must be the same everywhere.
Rule    a counter or histogram that the record lacks is zero or empty: an older or a shorter run has fewer.
"""

from functools import cached_property

from emu.report.numbers import duration
from emu.results import Buckets

BELOW_NOISE = "~"


class View:
    """Sums and look-ups over one record (a dict that read_result() gave). Reads it only."""

    def __init__(self, record):
        self.record = record
        self._merged = {}

    def get(self, key):
        """A part of the record that not every result has, or None."""
        return self.record.get(key)

    def __getitem__(self, key):
        return self.record[key]

    @cached_property
    def elapsed_ns(self):
        """Time that was measured: the run as it was, else as it was asked for."""
        return max(self["elapsed_ns"], 0) or max(self["duration_ns"], 0)

    @cached_property
    def _counters(self):
        columns = zip(*self["counters"]["per_process"].values(), strict=True)
        return dict(zip(self["counters"]["names"], map(sum, columns), strict=False))

    def counter(self, name):
        """Sum of a counter over all processes."""
        return self._counters.get(name, 0)

    def histogram(self, name):
        """A histogram merged over all processes."""
        if name not in self._merged:
            found = self["histograms"].get(name, {"unit": "ns", "per_process": {}})
            self._merged[name] = Buckets.merged(found["per_process"].values(), found["unit"])
        return self._merged[name]

    def over_cpus(self, key):
        """Sum of a key over the emulated CPUs."""
        return sum(cpu[key] for cpu in self["cpus"])

    @cached_property
    def calls(self):
        return self.over_cpus("calls")

    @cached_property
    def fallbacks(self):
        """Objects that took the fallback: rcu_head list or synchronize_rcu()."""
        return self.over_cpus("fallback_list") + self.over_cpus("fallback_sync")

    def processes(self, role):
        return [process for process in self["processes"] if process["role"] == role]

    @cached_property
    def noise_ns(self):
        """The largest gap that the host tore into any process; 0 when it was not measured."""
        return max((process["noise_max_ns"] or 0 for process in self["processes"]), default=0)

    def resolved(self, key, default=None):
        """A resolved scenario value by dotted key, `default` when there is none."""
        value = self["scenario"]["resolved"]
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return default if value is None else value

    def latency(self, ns):
        """A latency, marked when it is below the noise floor: the host could have made it."""
        mark = BELOW_NOISE if ns is not None and ns < self.noise_ns else ""
        return mark + duration(ns)

    def quantiles(self, name, *percents):
        """The words "p50 .., p99 .., max .." of a latency histogram."""
        buckets = self.histogram(name)
        parts = [f"p{percent:g} {self.latency(buckets.shown(percent))}" for percent in percents]
        parts.append("max " + self.latency(buckets.max if buckets.total else None))
        return ", ".join(parts)


def lower_median(numbers):
    """The middle one, the lower of two: a figure that really occurred."""
    row = sorted(numbers)
    return row[(len(row) - 1) // 2]
