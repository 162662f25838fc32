"""A small machine under pressure: two applications, two CPUs, 2048 pages, every role played by the test."""

from emu.launch.collect_vmscan import vmscan_invariants
from emu.mm import (
    GFP_KERNEL,
    GFP_NOWAIT,
    MIGRATE_UNMOVABLE,
    NO_PAGE,
    PAGE_STATES,
    SLAB_OBJECTS,
    ZONE,
    alloc_page,
    count_states,
    scratch_of,
    zone_of,
)
from emu.stats import sum_counters
from emu.vmscan import MM, app_begin, app_prepare, mm_of
from tests.small_machine import SmallMachine, small_machine

HOUSEKEEPING = 2
USUAL = ("memory.watermark_boost_factor=0", "apps.count=2", "apps.pages=700", "vmscan.zram_pages=300",
         "vmscan.file_cost_ns=0", "vmscan.anon_cost_ns=0", "vmscan.dirty_cost_ns=0")


def pressed(*overrides: str, filled: bool = True) -> SmallMachine:
    """The machine, its applications with their first pages."""
    machine = small_machine(*USUAL, *overrides)
    for role in machine.plan.roles:
        if filled and role.name.startswith("app/"):
            app_prepare(machine.seg, role.index, HOUSEKEEPING)
            app_begin(machine.seg, role.index)
    return machine


def counters(machine: SmallMachine) -> dict[str, int]:
    """Counters of all processes."""
    return sum_counters(machine.seg)


def states(machine: SmallMachine) -> dict[str, int]:
    """Pages by state."""
    out = scratch_of(machine.seg, 0)
    count_states(machine.seg, out)
    return {name: machine.seg[out + i] for i, name in enumerate(PAGE_STATES[:SLAB_OBJECTS])}


def broken(machine: SmallMachine) -> list[str]:
    """Invariants of reclaim that do not hold now."""
    return [row["name"] for row in vmscan_invariants(machine.seg, machine.plan, states(machine)) if not row["ok"]]


def rss(machine: SmallMachine, app: int) -> int:
    """Pages that an application maps, by its count."""
    return machine.seg[mm_of(machine.seg, app) + MM.rss]


def free_pages(machine: SmallMachine) -> int:
    """NR_FREE_PAGES of the only zone."""
    return machine.seg[zone_of(machine.seg, 0) + ZONE.nr_free]


def eat(machine: SmallMachine, until_fail_of: int = GFP_NOWAIT) -> list[int]:
    """Take pages for mutator 0 until a request of this kind fails; returns them."""
    me, pages = machine.index("mutator/0"), []
    while (pfn := alloc_page(machine.seg, me, 0, until_fail_of, MIGRATE_UNMOVABLE)) != NO_PAGE:
        pages.append(pfn)
    return pages


def ask(machine: SmallMachine, gfp: int = GFP_KERNEL) -> int:
    """One page for mutator 0."""
    return alloc_page(machine.seg, machine.index("mutator/0"), 0, gfp, MIGRATE_UNMOVABLE)
