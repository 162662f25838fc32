"""Comparing: many runs in turns, their figures side by side, and held against published ones.

Door of the room. It makes runs through launch; numpy is loaded when a statistic is asked for.
"""

from emu.compare.arms import Arm, arms_of, turns
from emu.compare.command import compare
from emu.compare.published import published_table, run_published
from emu.compare.series import Display

__all__ = ["Arm", "Display", "arms_of", "compare", "published_table", "run_published", "turns"]
