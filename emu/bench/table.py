"""`emu bench` as it prints: what it measured on, a row per benchmark, what the marks mean. At most 80 columns.

Rule    the head names what the figures depend on: the processor, what a locked instruction costs, how far the two
        cores are apart. Two-core rows carry the distance that was measured beside them.
"""

from collections.abc import Iterator

from emu.bench.catalogue import Bench, Host
from emu.bench.measure import Figure, Spread

WIDTH = 80
MISSED = "!"
_ROW = "{:<12} {:<4}{:>9} {:>19} {:>9} {:>7}  {:<7}{}"


def figure_text(value: float) -> str:
    """Three digits that matter."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def range_text(spread: Spread) -> str:
    """Least and most of the rounds."""
    return f"{figure_text(spread.low)}..{figure_text(spread.high)}"


def head_lines(host: Host, cpu_model: str, versions: str, locked: Spread, bounce: Spread | None,
               interpreted: bool) -> Iterator[str]:
    """What the figures stand on."""
    sizes = "small sizes: shows that everything runs, no more" if host.quick else "A B A B"
    yield f"emu bench: {host.rounds} rounds, {sizes}"[:WIDTH]
    yield f"host     {cpu_model}"[:WIDTH]
    where = f"core {host.near}" if host.far is None else f"cores {host.near} and {host.far}"
    yield f"         {where}; {versions}"[:WIDTH]
    if interpreted:
        yield "         interpreted (EMU_JIT=0): the figures are Python's, not the emulator's"
    yield f"locked   fetch_add {figure_text(locked.median)} ns ({range_text(locked)})"
    if bounce is None:
        yield "bounce   not measured: one core"
    else:
        yield (f"bounce   a line from core {host.near} to core {host.far}: {figure_text(bounce.median)} ns one way "
               f"({range_text(bounce)})")
    yield ""
    yield _ROW.format("name", "unit", "median", "min..max", "bare", "ratio", "aim", "").rstrip()


def row_lines(bench: Bench, figure: Figure, judged: bool) -> Iterator[str]:
    """A benchmark's row, and its notes. judged: mark a median beyond the aim."""
    mark = MISSED if judged and bench.missed(figure) else ""
    yield _ROW.format(bench.label, figure.unit, figure_text(figure.value.median), range_text(figure.value),
                      figure_text(figure.bare.median), figure_text(figure.ratio), bench.aim_text, mark).rstrip()
    for note in figure.notes:
        yield f"    {note}"


def skipped_line(bench: Bench) -> str:
    """Why there is no figure."""
    return f"{bench.label:<12} skipped: needs two cores, one is allowed (taskset widens the mask)"


def foot_lines(host: Host) -> Iterator[str]:
    """How to read it."""
    yield ""
    yield "median of the rounds; bare: the same loads, stores and locked operations with"
    yield "no algorithm around them; ratio: time of the loop / time of its bare twin, by"
    yield f"round; aim: of one x86-64 host at 2.6 GHz, {MISSED} beyond it, +1: us more than bare."
    if host.far is not None:
        yield "Two-core figures mean nothing without the bounce that stands beside them."
