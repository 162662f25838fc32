"""A comparison as a table: figures down, arms across, the first arm as the reference.

Rule    no line is longer than the width; many arms make several blocks, each with the reference. A cell is the median
        and its interval; below it, the arm against the reference with the interval of that, "n.s." in place of the
        value where the difference is not significant. Runs that were left out are named first. All figures of a row
        have one scale.
Limits  shows what the file holds; computes no statistic.
"""

from emu.report.answers import made_at, plural
from emu.report.command import command_lines
from emu.report.numbers import NBSP, significant
from emu.report.tables import cells as width_of
from emu.report.tables import clip, labelled, wrap

LABEL = 23
CELL = 18
GAP = 1
_SCALES = {
    "ns": ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns")),
    "count": ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")),
    "pages": ((1e6, "M"), (1e3, "k"), (1.0, "")),
    "page_s": ((1e3, "k"), (1.0, "")),
    "per_s": ((1e9, "G per s"), (1e6, "M per s"), (1e3, "k per s"), (1.0, "per s")),
    "share": ((0.01, "%"),),
}
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"


def _scale(unit, medians):
    """(divisor, word) for a row: the unit in which its largest figure has up to three digits before the point."""
    largest = max((abs(number) for number in medians), default=0)
    steps = _SCALES.get(unit, ((1.0, ""),))
    return next((step for step in steps if largest >= step[0]), steps[-1])


def _interval(low, high, divisor=1.0):
    return f"[{_two(low / divisor)} {_two(high / divisor)}]"


def _figure(cell, divisor):
    if cell is None:
        return "-"
    text = significant(cell["median"] / divisor)
    return text if cell["low"] == cell["high"] else f"{text} {_interval(cell['low'], cell['high'], divisor)}"


def _against(cell, divisor):
    """How this arm stands against the reference; "" where there is nothing to hold it against."""
    found = cell["against"] if cell else None
    if found is None:
        return ""
    unit = 1.0 if found["kind"] == "ratio" else divisor
    sign = "x" if found["kind"] == "ratio" else "+" if found["value"] >= 0 else ""
    value = sign + _two(found["value"] / unit) if found["significant"] else "n.s."
    return f"{value} {_interval(found['low'], found['high'], unit)}"


def _two(number):
    """Two significant figures: what few runs are worth."""
    size = abs(number)
    if size >= 1000:
        return f"{number:.1e}".replace("e+0", "e").replace("e+", "e")
    if size >= 9.95:
        return f"{number:.0f}"
    return f"{number:.1f}" if size >= 0.995 or not size else f"{number:.2g}"


def _row(label, texts):
    row = clip(label, LABEL).ljust(LABEL)
    for text in texts:
        text = clip(text, CELL)
        row += " " * (GAP + CELL - width_of(text)) + text
    return row.rstrip()


def _blocks(arms, width):
    """Arms of each block: the reference and as many others as fit."""
    room = max((width - LABEL) // (CELL + GAP), 2) - 1
    others = list(range(1, arms))
    return [[0, *others[at:at + room]] for at in range(0, len(others), room)] or [[0]]


def _table(comparison, shown, at):
    arms = comparison["arms"]
    runs = [sum(row["arm"] == arm and row["verdict"] == "VALID" for row in comparison["runs"]) for arm in shown]
    lines = [_row("", [arms[arm]["name"] + (" (ref)" if arm == 0 else "") for arm in shown]),
             _row("runs", [str(number) for number in runs])]
    group = None
    for metric in comparison["metrics"]:
        row = [at.get((metric["name"], arm)) for arm in shown]
        everyone = [at.get((metric["name"], arm)) for arm in range(len(arms))]
        divisor, word = _scale(metric["unit"], [cell["median"] for cell in everyone if cell])
        if metric["group"] != group:
            group = metric["group"]
            lines.append("")
        lines.append(_row(f"{metric['label']}{', ' + word if word else ''}", [_figure(cell, divisor) for cell in row]))
        second = [_against(cell, divisor) for cell in row]
        if any(second):
            lines.append(_row("", second))
    return lines


def _left_out(comparison, width):
    """One line for each run that gave no figures."""
    lines = []
    for row in comparison["runs"]:
        if row["verdict"] != "VALID":
            name = comparison["arms"][row["arm"]]["name"]
            why = "; ".join(row["reasons"]) or "no reason given"
            lines += wrap(f"left out: {name}, round {row['repeat'] + 1}: {row['verdict']}: {why}", width, "", "  ")
    return lines


def _notes(comparison):
    few = any(cell["against"] and cell["against"]["too_few"] for cell in comparison["cells"])
    yield ("median of the runs [95 % bootstrap interval]; below it against the reference, x: ratio, +: difference; "
           "n.s.: not significant")
    if few:
        yield "four runs of each arm are the least that can show a significant difference"
    yield "of twenty rows one may leave its interval by chance; runs took turns; seeds differ between rounds only"


def comparison_text(comparison, *, width=80, color=False):
    """The table of a comparison, as read_comparison() gave it. Ends with a line feed."""
    width = max(width, LABEL + 2 * (GAP + CELL))
    wanted = comparison["repeats"] * len(comparison["arms"])
    valid = sum(row["verdict"] == "VALID" for row in comparison["runs"])
    head = f"COMPARED: {valid} of {plural(wanted, 'run')} VALID"
    if comparison["ended"] != "complete":
        head += f"; {comparison['ended']}"
    lines = [BOLD + head + PLAIN if color else head]
    lines += _left_out(comparison, width) + [""]
    if comparison["question"]:
        lines += labelled("question", comparison["question"], width)
    lines += labelled("scenario", f"{comparison['scenario']['path']}; {plural(comparison['repeats'], 'round')} of "
                      f"{plural(len(comparison['arms']), 'arm')}", width)
    lines += labelled("made", f"emu {comparison['emu_version']}, {made_at(comparison['created_unix'])}; "
                      f"{comparison['host']}", width)
    at = {(cell["metric"], cell["arm"]): cell for cell in comparison["cells"]}
    if at:
        for shown in _blocks(len(comparison["arms"]), width):
            lines += ["", *_table(comparison, shown, at)]
        lines.append("")
        for note in _notes(comparison):
            lines += wrap(note, width, "", "  ")
    text = "\n".join(line.rstrip() for line in lines).replace(NBSP, " ")
    return text + "\n\n" + "\n".join(command_lines(comparison["command"], width, "repeat: ")) + "\n"
