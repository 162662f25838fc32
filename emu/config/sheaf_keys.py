"""[slab] sheaf_capacity, sheaf_sizes: which caches have sheaves, and how large a sheaf is.

Rule    the kernel keeps sheaves off PREEMPT_RT: there the capacity is 0, and writing another is refused.
After   Linux mm/slub.c v6.18: kmem_cache_args.sheaf_capacity (KF 2.11).
"""

from emu.config.problems import Problem

SHEAF_HEADER_WORDS = 8  # of a slab object and of a sheaf, before its pointers; kvfree/barn.py S_OBJECTS


def sheaf_bytes(capacity: int) -> int:
    """Size of a sheaf of so many pointers."""
    return 8 * (SHEAF_HEADER_WORDS + capacity)


def sheaf_values(pick, slab: dict) -> dict:
    """The resolved sheaf keys of [slab]; `slab` has the section's other values."""
    rt = pick("run.preemption") == "rt"
    capacity = pick.forced("slab.sheaf_capacity", 0) if rt else pick("slab.sheaf_capacity")
    sizes = (slab["sheaf_sizes"] or slab["object_bytes"]) if capacity else ()
    own = (sheaf_bytes(capacity),) if capacity else ()
    return {"sheaf_capacity": capacity, "sheaf_sizes": tuple(sizes), "cache_bytes": tuple(slab["object_bytes"]) + own}


def sheaf_rules(resolved, scenario):
    """What cannot be."""
    slab, written = resolved.slab, scenario.keys.slab.sheaf_sizes
    if slab.sheaf_capacity and resolved.run.preemption == "rt":
        rule = 'must be 0 when run.preemption = "rt": the kernel skips sheaves there'
        yield Problem("slab.sheaf_capacity", rule, "remove it", slab.sheaf_capacity)
    for i, size in enumerate(written):
        if size not in slab.object_bytes:
            rule = f"is no size of slab.object_bytes, which has {', '.join(map(str, slab.object_bytes))}"
            yield Problem(f"slab.sheaf_sizes[{i}]", rule, "name one of those", size)


def sheaf_remarks(resolved, scenario):
    """What is worth knowing."""
    if resolved.run.preemption == "rt" and (resolved.run.epoch == "E618" or resolved.policy.preset == "S22"):
        yield 'sheaves are off: run.preemption = "rt", where the kernel skips them'
    if scenario.keys.slab.sheaf_sizes and not resolved.slab.sheaf_capacity:
        yield "slab.sheaf_sizes is not read: slab.sheaf_capacity = 0"
