"""Scenario files: what a user may write, and the concrete record that a machine is built from.

Door of the room. load_scenario() -> resolve() -> Resolved; explain() prints it. Imports no Numba.
"""

from emu.config.load import Scenario, load_scenario, parse_override, parse_scenario
from emu.config.memory import node_cpus
from emu.config.presets import EPOCHS, POLICIES, SOURCES, PolicyPreset, SourceRule, find_policy, known_policies
from emu.config.problems import nearest
from emu.config.published_keys import Figure, figures_of
from emu.config.resolve import resolve
from emu.config.resolved import Resolved, ResolvedPolicy, as_record
from emu.config.schema import all_keys
from emu.config.strategies import STRATEGIES
from emu.config.text import explain
from emu.config.users_keys import HogSeat, ResolvedMark, ResolvedUser, hog_seats

__all__ = [
    "HogSeat", "ResolvedMark", "ResolvedUser", "hog_seats",
    "EPOCHS", "POLICIES", "SOURCES", "STRATEGIES", "Figure", "PolicyPreset", "Resolved", "ResolvedPolicy", "Scenario",
    "SourceRule", "all_keys", "as_record", "explain", "figures_of", "find_policy", "known_policies", "load_scenario",
    "nearest", "node_cpus", "parse_override", "parse_scenario", "resolve",
]
