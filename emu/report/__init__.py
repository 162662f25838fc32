"""Report: a result in words and tables, and the line that is shown while it is being made.

Door of the room. Sees records only; imports neither Numba nor the segment.
"""

from emu.report.comparison import comparison_text
from emu.report.policies import policies_text, policy_text
from emu.report.pressure import source_counters
from emu.report.progress import Progress
from emu.report.tables import table, wrap
from emu.report.text import report_text
from emu.report.view import View

__all__ = ["Progress", "View", "comparison_text", "policies_text", "policy_text", "report_text", "source_counters",
           "table", "wrap"]
