"""Boot: from a resolved scenario to an initialised machine; the only room that knows every room of the machine.

Door of the room. A file per part of the machine says how many words the part's regions have and what stands in them
before time zero; machine.py puts the parts in order.
"""

from emu.boot.load import live_slots
from emu.boot.machine import boot, make_plan
from emu.boot.plan import UNBOUND, Plan, Role, plan_roles, scheduling_of

__all__ = ["Plan", "Role", "UNBOUND", "boot", "live_slots", "make_plan", "plan_roles", "scheduling_of"]
