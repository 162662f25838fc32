"""Report: a result in words and tables, and the line that is shown while it is being made.

Door of the room. Sees records only; imports neither Numba nor the segment.
"""

from emu.report.progress import Progress
from emu.report.text import report_text

__all__ = ["Progress", "report_text"]
