"""Sheaves at the end of a run: what stands in them, for the ledger and the record.

Rule    reads only; nobody writes any more. A sheaf is an object of a slab itself.
"""

from emu.arch import Words
from emu.boot import Plan
from emu.kvfree import BARN, PCS, S_SIZE, SHEAVES, barn_of, objects_in_sheaves, pcs_of
from emu.launch.sums import Sums


def collect_sheaves(seg: Words, plan: Plan, sums: Sums) -> dict:
    """sheaves: how many there are; ready: dead objects in them that an allocation may take; queued: waiting."""
    words = plan.offsets["sheaves"]
    if not seg[words + SHEAVES.on]:
        return {"sheaves": 0, "ready": 0, "queued": 0, "full": 0, "empty": 0}
    caches, capacity = seg[words + SHEAVES.nr_caches], seg[words + SHEAVES.capacity]
    barns = [barn_of(seg, node, index) for node in range(plan.resolved.memory.nodes) for index in range(caches)]
    full, empty = (sum(seg[barn + at] for barn in barns) for at in (BARN.nr_full, BARN.nr_empty))
    mine = [seg[pcs_of(seg, cpu, index) + at] for cpu in range(plan.cpus) for index in range(caches)
            for at in (PCS.main, PCS.spare)]
    return {
        "sheaves": sums["sheaf_alloc"] - sums["sheaf_free"],
        "ready": full * capacity + sum(seg[sheaf + S_SIZE] for sheaf in mine if sheaf),
        "queued": sum(objects_in_sheaves(seg, cpu) for cpu in range(plan.cpus)),
        "full": full, "empty": empty,
    }
