"""Launching: the only room that starts processes.

Door of the room. run_scenario() takes a resolved scenario to a written result.
"""

from emu.launch.run import Options, Outcome
from emu.launch.supervisor import run_scenario

__all__ = ["Options", "Outcome", "run_scenario"]
