"""What the emulated lockdep found, as it goes into the record: counts by kind, the first report of each.

Rule    reads only; nobody writes any more.
"""

from emu.arch import Words
from emu.boot import Plan
from emu.shm import HEADER
from emu.sync import read_splats


def collect_lockdep(seg: Words, plan: Plan) -> dict:
    """Settings, and the first violation of each kind with the stack of held locks; times from the run's start."""
    splats = read_splats(seg)
    for splat in splats:
        splat["time_ns"] = max(0, splat["time_ns"] - seg[HEADER.t_zero])
        splat["process"] = plan.roles[splat["process"]].name
    lockdep = plan.resolved.lockdep
    return {"enabled": lockdep.enabled, "on_violation": lockdep.on_violation,
            "preempt_count": plan.resolved.run.preempt_count, "splats": splats}
