"""A line that tells how a run is getting on, for whoever watches; silent for whoever does not.

Rule    one line, rewritten in place, only when the stream is a terminal. A terminal that goes away ends the
        display and never the run.
Limits  79 columns: a line that fills the last one would scroll. Rates are those since the last update.
"""

from emu.report.numbers import NBSP, duration, grouped, significant
from emu.report.tables import clip

COLUMNS = 79
_BAR = 20


class Progress:
    """The progress line of one run on `stream` (as sys.stderr; None is silent). One thread."""

    def __init__(self, stream, duration_s):
        self._stream = stream
        self._duration_s = duration_s
        self._last = (0.0, 0)
        self._rate = 0.0
        self._written = 0
        try:
            self._alive = stream is not None and stream.isatty()
        except (OSError, ValueError):  # closed
            self._alive = False

    def update(self, elapsed_s, calls, fallbacks, gps):
        """Rewrite the line. Times in seconds since time zero, the rest are totals since then."""
        if not self._alive:
            return
        seconds = elapsed_s - self._last[0]
        if seconds > 0:
            self._rate = max(calls - self._last[1], 0) / seconds
            self._last = (elapsed_s, calls)
        self._put(self.line(elapsed_s, fallbacks, gps))

    def line(self, elapsed_s, fallbacks, gps):
        """The text of the line for these totals."""
        whole = self._duration_s
        done = min(max(elapsed_s / whole, 0.0), 1.0) if whole > 0 else 1.0
        bar = ("#" * round(_BAR * done)).ljust(_BAR, ".")
        left = duration(max(whole - elapsed_s, 0) * 1e9) if done < 1 else "draining"
        text = (f"[{bar}] {duration(elapsed_s * 1e9)}, {left}{' left' if done < 1 else ''}  "
                f"{significant(self._rate)} calls/s  {grouped(fallbacks)} fallbacks  {grouped(gps)} gps")
        return clip(text, COLUMNS).replace(NBSP, " ")

    def _put(self, text):
        # Spaces wipe what a longer line left; not every terminal knows an escape for it.
        padded = text.ljust(self._written)
        self._written = len(text)
        self._write("\r" + padded)

    def _write(self, text):
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._alive = False

    def close(self):
        """End the line, so that what follows begins on its own. A second call does nothing."""
        if self._alive and self._written:
            self._write("\n")
        self._alive = False
