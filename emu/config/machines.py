"""Machines: what a computer of a kind is like, as values for the keys of a scenario.

Holds   MACHINES, machine_values().
Rule    a layer above the defaults and below what the user writes. Keys that belong together (GROUPS) are taken whole or
        not at all: who writes one of them has written them all. Page counts of applications shrink with memory.scale.
Limits  object mixes, contexts, readers and applications are suggestions; memory, marks and ticks are computed by the
        kernel's formulas. The server's applications are of 1_000_000 pages each at most.
After   the table of four machines in the kernel facts (KF 8).
"""

from typing import NamedTuple


class MachinePreset(NamedTuple):
    """One machine: its name in `run.machine`, what it stands for, its values by dotted key."""

    name: str
    title: str
    values: dict


def _contexts(task, task_atomic, softirq, hardirq, raw_lock):
    return {
        "workload.contexts.task": task,
        "workload.contexts.task_atomic": task_atomic,
        "workload.contexts.softirq": softirq,
        "workload.contexts.hardirq": hardirq,
        "workload.contexts.raw_lock": raw_lock,
    }


def _zone(node, name, pages):
    return {"node": node, "name": name, "pages": pages}


MACHINES = {
    row.name: row
    for row in (
        MachinePreset("phone", "a phone of 2 GiB with eight cores", {
            "run.hz": 250,
            "run.preemption": "full",
            "cpus.count": 8,
            "memory.zones": [_zone(0, "NORMAL", 473_600)],
            "memory.prefault": False,
            "memory.unmovable_share": 0.2,
            "slab.object_bytes": [32, 64, 128, 256, 512],
            "slab.weights": [4.0, 3.0, 2.0, 2.0, 1.0],
            "workload.kind": "burst",
            "workload.rate_per_s": 200_000.0,
            "workload.burst.calls": 5000,
            "workload.burst.period_ms": 500,
            "workload.one_arg_share": 0.1,
            "workload.vmalloc_share": 0.02,
            **_contexts(0.50, 0.15, 0.25, 0.05, 0.05),
            "readers.length_us": 100,
            "vmscan.anon_cost_ns": 6000,
            "vmscan.zram_pages": 118_400,
            "apps.count": 8,
            "apps.pages": 23_680,
            "apps.file_share": 0.5,
            "apps.anon_share": 0.5,
            "apps.oom_score_adj": [0, 200, 700, 900],
            "monitor.kind": "lmkd",
            "monitor.partial_stall_ms": 200,
            "monitor.complete_stall_ms": 700,
            "monitor.thrashing_limit": 30,
            "monitor.thrashing_limit_decay": 50,
        }),
        MachinePreset("rt-board", "a board of 1 GiB with four cores and PREEMPT_RT", {
            "run.hz": 1000,
            "run.preemption": "rt",
            "cpus.count": 4,
            "memory.zones": [_zone(0, "NORMAL", 245_760)],
            "memory.prefault": False,
            "slab.object_bytes": [32, 64, 128, 256],
            "slab.weights": [1.0, 1.0, 1.0, 1.0],
            "workload.kind": "poisson",
            "workload.rate_per_s": 10_000.0,
            "workload.one_arg_share": 0.05,
            "workload.vmalloc_share": 0.01,
            **_contexts(0.40, 0.10, 0.30, 0.05, 0.15),
            "readers.length_us": 50,
            "vmscan.panic_on_oom": 1,
            "apps.count": 4,
            "apps.pages": 10_752,
            "apps.file_share": 1.0,
            "apps.anon_share": 0.0,
        }),
        MachinePreset("server", "a server of 256 GiB with two nodes and 64 cores", {
            "run.hz": 250,
            "run.preemption": "voluntary",
            "cpus.count": 64,
            "memory.zones": [_zone(0, "DMA", 3840), _zone(0, "DMA32", 430_000), _zone(0, "NORMAL", 32_400_000),
                             _zone(1, "NORMAL", 33_000_000)],
            "memory.prefault": False,
            "slab.object_bytes": [32, 64, 128, 256, 512, 1024],
            "slab.weights": [4.0, 3.0, 2.0, 2.0, 1.0, 1.0],
            "workload.kind": "poisson",
            "workload.rate_per_s": 100_000.0,
            "workload.one_arg_share": 0.075,
            "workload.vmalloc_share": 0.01,
            **_contexts(0.45, 0.15, 0.30, 0.05, 0.05),
            "readers.length_us": 50,
            "apps.count": 16,
            "apps.pages": 1_000_000,
            "apps.file_share": 1.0,
            "apps.anon_share": 0.0,
            "monitor.kind": "oomd",
        }),
        MachinePreset("vm", "a virtual machine of 4 GiB with two cores", {
            "run.hz": 250,
            "run.preemption": "voluntary",
            "cpus.count": 2,
            "memory.zones": [_zone(0, "DMA", 3840), _zone(0, "DMA32", 740_000), _zone(0, "NORMAL", 250_000)],
            "memory.prefault": False,
            "slab.object_bytes": [32, 64, 128, 256, 512],
            "slab.weights": [4.0, 3.0, 2.0, 2.0, 1.0],
            "workload.kind": "poisson",
            "workload.rate_per_s": 50_000.0,
            "workload.one_arg_share": 0.075,
            "workload.vmalloc_share": 0.01,
            **_contexts(0.50, 0.15, 0.25, 0.05, 0.05),
            "readers.length_us": 50,
            "apps.count": 4,
            "apps.pages": 111_800,
            "apps.file_share": 1.0,
            "apps.anon_share": 0.0,
        }),
    )
}

# (what the user writes, what of the machine is then left out): by key or by section with a dot behind it
GROUPS = (
    (("memory.zones", "memory.managed_pages"), ("memory.zones",)),
    (("slab.object_bytes", "slab.weights"), ("slab.object_bytes", "slab.weights")),
    (("workload.kind", "workload.rate_per_s", "workload.burst."),
     ("workload.kind", "workload.rate_per_s", "workload.burst.")),
    (("workload.contexts.",), ("workload.contexts.",)),
    (("apps.count",), ("apps.", "monitor.", "vmscan.")),
    (("apps.file_share", "apps.anon_share", "apps.dirty_share"), ("apps.file_share", "apps.anon_share")),
)
_SCALED = ("apps.pages", "vmscan.zram_pages")


def _in(dotted, names):
    return any(dotted == name or (name[-1] == "." and dotted.startswith(name)) for name in names)


def machine_values(name: str, written: frozenset, scale: float) -> dict[str, object]:
    """The machine's values by dotted key, but for those that the user wrote, alone or by their group."""
    if name not in MACHINES:
        return {}
    left_out = [each for keys, values in GROUPS if any(_in(key, keys) for key in written) for each in values]
    values = {}
    for dotted, value in MACHINES[name].values.items():
        if dotted not in written and not _in(dotted, left_out):
            values[dotted] = max(1, int(value * scale)) if dotted in _SCALED else value
    return values
