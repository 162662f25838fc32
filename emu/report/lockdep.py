"""What the emulated lockdep saw: how often, and the first of each kind with the locks that were held.

Rule    nothing is said when nothing was wrong; a record without the part (of an older run) says nothing either.
"""

from emu.report.answers import plural
from emu.report.numbers import duration
from emu.report.tables import wrap

# Counter -> what it counts.
KINDS = {
    "wait_ctx_violation": "invalid wait context",
    "sleep_in_atomic": "atomic sleep",
    "self_deadlock": "self-deadlock",
    "kvfree_in_nmi": "refused NMI call",
}


def lockdep(view, width):
    """Counts, then the first report of each kind."""
    found = view.get("lockdep")
    counts = [(view.counter(name), word) for name, word in KINDS.items() if view.counter(name)]
    if not found or not counts:
        return []
    words = [plural(n, word) for n, word in counts]
    lines = wrap(f"lockdep: {', '.join(words)} (on_violation = \"{found['on_violation']}\")", width, "", "  ")
    for splat in found["splats"]:
        lines += wrap(f"first {splat['kind']} at {duration(splat['time_ns'])}: {splat['process']}, CPU {splat['cpu']}, "
                      f"context {splat['context']}", width, "  ", "    ")
        held = ", then ".join(f"{lock['name']} ({lock['type']})" for lock in splat["held"]) or "nothing"
        lines += wrap(f"wanted {splat['wanted']} ({splat['wanted_type']}), holding {held}", width, "    ", "      ")
    return lines
