"""The machine as a whole: its parts in order, first their sizes, then their words.

Rule    all sizes are known before the segment is created. boot() runs in the launcher alone, before any fork; after it
        the constants of the machine are plain words that nobody writes again.
"""

import time

from emu.arch import Words
from emu.boot.kvfree import boot_kvfree, kvfree_regions
from emu.boot.load import boot_loads, load_regions, pack_schedules
from emu.boot.lockdep import boot_lockdep, lockdep_regions
from emu.boot.memory import boot_memory, boot_memory_map, memory_regions, pool_pages
from emu.boot.plan import Plan, plan_roles
from emu.boot.policy import boot_policy, policy_regions
from emu.boot.processes import boot_procs, process_regions
from emu.boot.rcu import boot_rcu, rcu_regions
from emu.boot.sheaves import boot_sheaves, sheaf_regions
from emu.boot.users import boot_users, users_regions
from emu.boot.vmscan import boot_vmscan, vmscan_regions
from emu.config import Resolved
from emu.mm import PAGE_SHIFT, PAGE_WORDS
from emu.shm import HEADER, MAP, MAP_BASE, round_to_line
from emu.workload.ftrace import RecordedDemand

ALIGN_PFN = 1 << 10  # the pool starts at a multiple of the largest block


def make_plan(resolved: Resolved, demand: RecordedDemand | None = None) -> Plan:
    """Lay the segment out. Sizes only; nothing is created."""
    roles, cpus = plan_roles(resolved), resolved.cpus.count
    schedules, span = pack_schedules(resolved, demand)
    offsets, end = lay_out({
        **process_regions(resolved, len(roles)),
        **lockdep_regions(len(roles)),
        **sheaf_regions(resolved),
        **rcu_regions(cpus),
        **vmscan_regions(resolved, len(roles)),
        **kvfree_regions(cpus, roles),
        **policy_regions(resolved),
        **load_regions(resolved, schedules),
        **users_regions(resolved),
        **memory_regions(resolved),
    })
    align = ALIGN_PFN * PAGE_WORDS
    pool = -(-end // align) * align
    size = pool + pool_pages(resolved) * PAGE_WORDS
    return Plan(resolved, roles, offsets, size, pool >> PAGE_SHIFT, schedules, span)


def lay_out(sizes: dict[str, int]) -> tuple[dict[str, int], int]:
    """(offset of each region, first word behind them): one after the other, each in lines of its own."""
    offsets, at = {}, MAP_BASE + MAP.SIZE
    for name, words in sizes.items():
        offsets[name] = round_to_line(at)
        at = offsets[name] + words
    return offsets, at


def boot(seg: Words, plan: Plan) -> None:
    """Write the machine into a zeroed segment. Launcher only, before any fork."""
    boot_header(seg, plan)
    for name, offset in plan.offsets.items():
        seg[MAP_BASE + getattr(MAP, name)] = offset
    boot_memory_map(seg, plan)
    # The rooms' functions find their words from here on. Memory comes before the policy, which takes pages.
    boot_procs(seg, plan)
    boot_memory(seg, plan)
    boot_rcu(seg, plan)
    boot_vmscan(seg, plan)
    boot_policy(seg, plan)
    boot_kvfree(seg, plan)
    boot_sheaves(seg, plan)
    boot_lockdep(seg, plan)
    boot_loads(seg, plan)
    boot_users(seg, plan)


def boot_header(seg: Words, plan: Plan) -> None:
    """What the segment's header says about the machine."""
    run = plan.resolved.run
    seg[HEADER.nr_cpus] = plan.cpus
    seg[HEADER.nr_procs] = len(plan.roles)
    seg[HEADER.verify] = int(run.verify)
    seg[HEADER.seed] = run.seed
    # Until time zero is set, ticks and stamps count from here.
    seg[HEADER.t_zero] = time.monotonic_ns()
    seg[HEADER.t_end] = 1 << 62
