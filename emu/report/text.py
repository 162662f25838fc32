"""The report of one run as plain text: the verdict first, then the answers, then why to believe them.

Rule    no line is longer than the width (80 unless told); without colour the output is the same in a pipe,
        a file and a terminal. The last line is the command that repeats the run.
Limits  one run; comparing runs is another report's work.
"""

from emu.report.answers import fallback_window, footprint, misprediction, verdict, what_ran
from emu.report.command import command_lines
from emu.report.latency import calls, grace_periods, rcuscale, recorded, refill
from emu.report.lockdep import lockdep
from emu.report.numbers import NBSP
from emu.report.pressure import blocked, hogs, pressure, series, sources, users, zones
from emu.report.trust import cannot_tell, invariants, ledger, locks, noise, processes, stalls
from emu.report.view import View

WIDTH_MIN = 72  # the longest head
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"
_VERDICT_COLOR = {"VALID": "\x1b[1;32m", "INVALID": "\x1b[1;31m", "INCOMPLETE": "\x1b[1;33m"}

# Blocks in order, an empty line between them; the sections of a block stand without one.
BLOCKS = (
    (what_ran,),
    (fallback_window,),
    (misprediction,),
    (footprint,),
    (refill,),
    (calls, blocked, grace_periods, sources),
    (rcuscale,),
    (recorded,),
    (pressure, zones),
    (users,),
    (hogs,),
    (series,),
    (ledger,),
    (locks, lockdep),
    (stalls, invariants),
    (processes,),
    (noise, cannot_tell),
)


def report_text(record, *, width=80, color=False):
    """The report of `record`, as read_result() gave it. Ends with a line feed.

    `width` in columns, at least 72. `color` marks the verdict and the heads with ANSI sequences; leave it off
    for anything but a terminal. Raises nothing for a record that passed check_record().
    """
    width = max(width, WIDTH_MIN)
    view = View(record)
    first = verdict(view, width)
    if color:
        word = record["verdict"]["word"]
        first[0] = _VERDICT_COLOR[word] + word + _PLAIN + first[0][len(word):]
    lines = first
    for block in BLOCKS:
        found = [section(view, width) for section in block]
        found = [[_BOLD + part[0] + _PLAIN, *part[1:]] if color else part for part in found if part]
        if found:
            lines.append("")
            lines += [line for part in found for line in part]
    text = "\n".join(line.rstrip() for line in lines).replace(NBSP, " ")
    # After the rest, because nothing in a command may be replaced.
    return text + "\n\n" + "\n".join(command_lines(record["command"], width, "repeat: ")) + "\n"
