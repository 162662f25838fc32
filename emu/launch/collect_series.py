"""The time series in the record: its rows, each column's least, mean and most, time below each mark, its own cost.

Rule    a sample stands for the time until the next one, the last one for an interval; what was not sampled is not told.
"""

from emu.arch import Words
from emu.boot import Plan
from emu.mm import ZONE, ZONE_NAMES
from emu.shm import SAMPLER
from emu.users import SAMPLE, SERIES, ZONE_COLUMNS

MARKS = ("min", "low", "high")


def collect_series(seg: Words, plan: Plan) -> dict | None:
    """The series; None when nobody sampled."""
    if not plan.of_kind(SAMPLER):
        return None
    series, zones = plan.offsets["series"], len(plan.resolved.memory.zones)
    names = [name for name in SAMPLE._fields[:-1] if not is_spare(name, zones)]
    rows = []
    for row in range(seg[series + SERIES.rows]):
        at = series + SERIES.SIZE + row * SAMPLE.SIZE
        rows.append([seg[at + getattr(SAMPLE, name)] for name in names])
    return {
        "names": names, "rows": rows, "interval_ns": seg[series + SERIES.interval_ns],
        "rows_max": seg[series + SERIES.rows_max], "full": len(rows) >= seg[series + SERIES.rows_max],
        "left_out": seg[series + SERIES.late],
        "cost": {"sampled_ns": seg[series + SERIES.sampled_ns], "sampled_max_ns": seg[series + SERIES.sampled_max_ns],
                 "per_row_ns": seg[series + SERIES.sampled_ns] // max(1, len(rows))},
        "columns": summaries(names, rows, seg[series + SERIES.interval_ns]),
        "below_ns": below_marks(seg, plan, names, rows),
    }


def note_sampler_cost(record: dict) -> None:
    """Put the CPU time of the sampler's process, wake-ups included, beside what it measured itself, and its share."""
    series, elapsed = record["series"], record["elapsed_ns"]
    for row in record["processes"]:
        if series and row["role"] == "sampler" and row["run_ns"] is not None:
            series["cost"]["run_ns"] = row["run_ns"]
            series["cost"]["share"] = row["run_ns"] / elapsed if elapsed else 0.0


def is_spare(name: str, zones: int) -> bool:
    """A column of a zone that the machine has not."""
    return name.startswith("zone") and int(name[4:].partition("_")[0]) >= zones


def spans(rows: list[list], interval_ns: int) -> list[int]:
    """Nanoseconds that each row stands for."""
    times = [row[0] for row in rows]
    return [after - before for before, after in zip(times, times[1:], strict=False)] + [interval_ns] * bool(times)


def summaries(names: list[str], rows: list[list], interval_ns: int) -> dict[str, dict]:
    """Least, time-weighted mean and most of every column but the time."""
    weights = spans(rows, interval_ns)
    found = {}
    for i, name in enumerate(names[1:], 1):
        column = [row[i] for row in rows]
        if column:
            mean = sum(value * ns for value, ns in zip(column, weights, strict=True)) / max(1, sum(weights))
            found[name] = {"min": min(column), "mean": mean, "max": max(column)}
    return found


def below_marks(seg: Words, plan: Plan, names: list[str], rows: list[list]) -> list[dict]:
    """Per zone, the nanoseconds that its free pages were at or below each mark, boosts left aside."""
    weights, found = spans(rows, plan.resolved.series.interval_ns), []
    for index in range(min(len(plan.resolved.memory.zones), ZONE_COLUMNS)):
        words, column = plan.zone(index), names.index(f"zone{index}_free")
        marks = {mark: seg[words + getattr(ZONE, f"wmark_{mark}")] for mark in MARKS}
        found.append({"zone": ZONE_NAMES[seg[words + ZONE.kind]], "node": seg[words + ZONE.node]} | {
            mark: sum(ns for row, ns in zip(rows, weights, strict=True) if row[column] <= pages)
            for mark, pages in marks.items()})
    return found
