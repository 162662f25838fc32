"""Sources, epochs and policies as data: what a name in a scenario file stands for.

Holds   SOURCES (one row per place a page may come from), EPOCHS (a kernel release's set of rules) and POLICIES
        (S1..S22: a choice of sources with their refill and pool).
Rule    a row is the whole of what the configuration knows about its name: adding a source is one row of SOURCES.
Limits  values only, no decisions: which layer wins is resolve.py's.
After   kernel/rcu/tree.c v5.9..v6.12, mm/slab_common.c, the RFC of 2020-09-18 and its thread.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class SourceRule(NamedTuple):
    """What a page source does when asked, for rule checks and for the emulated lockdep.

    strategies   numbers of the strategies whose source it is; empty: only the kernel's own one-argument way
    kernel       the kernel's function or flags
    uses_pool    takes from [policy.pool] pages_per_cpu
    grows        honours the growth keys of [policy.pool]
    rescues      takes from [policy.pool] rescue_pages
    may_spin     may take a spinlock_t under krc->lock (sleeps on RT; self-deadlock if the caller holds it)
    may_sleep    may block, with krc->lock dropped, where the caller may
    one_arg_only always blocks: only legal for a one-argument call
    wakes_kswapd wakes kswapd when the zone is low
    floor        share of MIN that free pages must exceed; 0.0 where no watermark is looked at
    """

    strategies: tuple
    kernel: str
    uses_pool: bool = False
    grows: bool = False
    rescues: bool = False
    may_spin: bool = False
    may_sleep: bool = False
    one_arg_only: bool = False
    wakes_kswapd: bool = False
    floor: float = 0.0


SOURCES = {
    "cache": SourceRule(("S3",), "get_cached_bnode()"),
    "pcp-lockless": SourceRule(("S1", "S2", "S16"), "__rcu_alloc_page_lockless() of the RFC"),
    "static": SourceRule(("S4",), "none: pages taken at boot, recycled by the free side", uses_pool=True),
    "mempool": SourceRule(
        ("S5",), "mempool_alloc(): GFP_NOWAIT; for one-argument callers GFP_KERNEL, which never fails",
        uses_pool=True, may_spin=True, may_sleep=True, wakes_kswapd=True, floor=1.0,
    ),
    "mempool-raw": SourceRule(("S5",), "mempool_alloc_preallocated() under a raw lock", uses_pool=True),
    "grown": SourceRule(("S6", "S7"), "none: a pool per CPU that the worker grows", uses_pool=True, grows=True),
    "rescue": SourceRule(("S7",), "none: a small reserve per CPU, taken at boot", rescues=True),
    "nowait": SourceRule(("S8",), "GFP_NOWAIT | __GFP_NOWARN", may_spin=True, wakes_kswapd=True, floor=1.0),
    "atomic": SourceRule(("S9",), "GFP_ATOMIC | __GFP_NOWARN", may_spin=True, wakes_kswapd=True, floor=0.375),
    "gate": SourceRule(
        ("S10",), "if preemptible(): GFP_KERNEL | __GFP_NORETRY | __GFP_NOMEMALLOC | __GFP_NOWARN, lock dropped",
        may_sleep=True, wakes_kswapd=True, floor=1.0,
    ),
    "no-locks": SourceRule(("S11",), "__GFP_NO_LOCKS: LOW, this CPU's list, no refill", floor=1.0),
    "no-locks-late": SourceRule(("S12",), "ALLOC_NO_LOCKS inside rmqueue_bulk(): LOW, then MIN", floor=1.0),
    "gfp-zero": SourceRule(("S13",), "gfp 0: as above, and never a list's last half batch", floor=1.0),
    "freelist-copy": SourceRule(("S14",), "a copy of get_page_from_freelist() without locks", floor=1.0),
    "shared-reserve": SourceRule(("S15",), "none: one pool of the machine for all critical users", uses_pool=True),
    "trylock": SourceRule(("S21",), "alloc_pages_nolock()", floor=1.0),
    "direct": SourceRule(
        (), "GFP_KERNEL | __GFP_NORETRY | __GFP_NOMEMALLOC | __GFP_NOWARN",
        may_spin=True, may_sleep=True, one_arg_only=True, wakes_kswapd=True, floor=1.0,
    ),
    "throttle": SourceRule(
        ("S18",), "GFP_KERNEL again and again, for a grace period at most",
        may_spin=True, may_sleep=True, one_arg_only=True, wakes_kswapd=True, floor=1.0,
    ),
}
USER_SOURCE = SourceRule((), "the user's own function")


def source_rule(name: str) -> SourceRule:
    """The row of a source that is known; a user's own file has one row for all."""
    return SOURCES.get(name, USER_SOURCE)


class Epoch(NamedTuple):
    """A kernel release's rules: every key that the schema leaves to the epoch, by dotted name.

    refill_needs_cache: a cache size of 0 stops refill requests too (before, the worker ran in vain).
    """

    kernel: str
    values: dict
    refill_needs_cache: bool = False


_V59 = {
    "slab.sheaf_capacity": 0,
    "memory.pcp_rule": "v5.9",
    "memory.reserve_rule": "v5.9",
    "memory.drain_rule": "work",
    "kvfree.bnode_records": 510,
    "kvfree.min_cached_objs": 2,
    "kvfree.boot_fill": True,
    "kvfree.drain_ms": 20,
    "kvfree.flood_drain_jiffies": 0,
    "kvfree.polled_cookies": False,
    "kvfree.attach": "per-channel",
    "kvfree.work_bound": True,
    "kvfree.freed_page_to": "worker",
    "kvfree.shrinker": "queued",
    "policy.sources": ("cache", "nowait"),
    "policy.one_arg_sources": ("cache", "nowait"),
    "policy.refill.trigger": "none",
    "policy.refill.path": "hrtimer",
    "policy.refill.delay_jiffies": 0,
    "policy.refill.bound": True,
    "policy.refill.gfp": "nowait",
    "policy.refill.stop_on_failure": False,
    "policy.refill.count_from": "zero",
    "policy.refill.backoff_ms": 0,
    "policy.pool.pages_per_cpu": 0,
}
_RFC = _V59 | {
    "kvfree.min_cached_objs": 5,
    "kvfree.boot_fill": False,
    "kvfree.freed_page_to": "owner",
    "policy.sources": ("cache", "pcp-lockless"),
    "policy.one_arg_sources": ("cache", "pcp-lockless"),
    "policy.refill.trigger": "miss",
    "policy.refill.path": "delayed",
    "policy.refill.delay_jiffies": 1,
}
_V511 = _RFC | {
    "policy.sources": ("cache",),
    "policy.one_arg_sources": ("cache",),
    "policy.refill.path": "hrtimer",
    "policy.refill.delay_jiffies": 0,
    "policy.refill.gfp": "kernel",
}
_V61 = _V511 | {
    "kvfree.shrinker": "queued-and-cached",
    "memory.pcp_rule": "v6.1",
    "memory.drain_rule": "remote",
    "kvfree.drain_ms": 5000,
    "kvfree.flood_drain_jiffies": 1,
    "policy.one_arg_sources": ("cache", "direct"),
    "policy.refill.gfp": "kernel-noretry",
    "policy.refill.stop_on_failure": True,
    "policy.refill.backoff_ms": 5000,
}
_V612 = _V61 | {
    "memory.pcp_rule": "v6.7",
    "memory.reserve_rule": "v6.3",
    "kvfree.bnode_records": 507,
    "kvfree.polled_cookies": True,
    "kvfree.attach": "whole-slot",
    "kvfree.work_bound": False,
    "policy.refill.count_from": "present",
}
_V618 = _V612 | {"slab.sheaf_capacity": 32}

EPOCHS = {
    "E59": Epoch("v5.9", _V59),
    "ERFC": Epoch("v5.9 with the RFC of 2020-09-18", _RFC),
    "E511": Epoch("v5.11", _V511),
    "E61": Epoch("v6.1", _V61),
    "E612": Epoch("v6.12", _V612, refill_needs_cache=True),
    "E618": Epoch("v6.18", _V618, refill_needs_cache=True),
}


class PolicyPreset(NamedTuple):
    """One strategy of the thread. `sources` None: as the epoch has them.

    direct       one-argument calls also go to the allocator, where the epoch's do
    one_arg      sources of one-argument calls, where they are others
    refill_from  "" = no refill; "epoch" = the epoch's; an epoch's name = the epoch's, or that one's rule
                 where the epoch has no refill of its own
    values       other keys that it sets, by dotted name
    """

    name: str
    title: str
    sources: tuple | None = None
    direct: bool = True
    one_arg: tuple | None = None
    refill_from: str = ""
    pages_per_cpu: int = 0
    values: Mapping[str, object] = MappingProxyType({})


_GROWTH = {"policy.pool.grow_pages": 16, "policy.pool.grow_limit_pages": 512, "policy.pool.shrink_after_ms": 1000}
POLICIES = {
    row.name: row
    for row in (
        PolicyPreset("epoch", "what the epoch's kernel does", refill_from="epoch"),
        PolicyPreset("S1", "lockless-pcp", ("pcp-lockless",)),
        PolicyPreset("S2", "lockless-pcp+worker", ("cache", "pcp-lockless"), refill_from="ERFC"),
        PolicyPreset("S3", "worker-cache", ("cache",), refill_from="E511"),
        PolicyPreset("S4", "static", ("static",), pages_per_cpu=32),
        PolicyPreset("S5", "mempool", ("mempool",), direct=False, pages_per_cpu=16),
        PolicyPreset("S6", "grown-pool", ("grown",), refill_from="E511", pages_per_cpu=5, values=_GROWTH),
        PolicyPreset("S7", "rescue+grown", ("grown", "rescue"), refill_from="E511", pages_per_cpu=5,
                     values=_GROWTH | {"policy.pool.rescue_pages": 4}),
        PolicyPreset("S8", "gfp-nowait", ("cache", "nowait")),
        PolicyPreset("S9", "gfp-atomic", ("cache", "atomic")),
        PolicyPreset("S10", "preemptible-gate", ("gate", "cache"), direct=False),
        PolicyPreset("S11", "no-locks-flag", ("cache", "no-locks")),
        PolicyPreset("S12", "flag-after-pcp", ("cache", "no-locks-late")),
        PolicyPreset("S13", "gfp-zero", ("cache", "gfp-zero")),
        PolicyPreset("S14", "freelist-copy", ("cache", "freelist-copy")),
        PolicyPreset("S15", "shared-reserve", ("shared-reserve",), pages_per_cpu=16),
        PolicyPreset("S16", "pcp-hog", ("cache", "pcp-lockless"), refill_from="ERFC"),
        PolicyPreset("S17", "softirq-refill", ("cache",), refill_from="E511", values={
            "policy.refill.trigger": "low-stock", "policy.refill.path": "softirq", "policy.refill.gfp": "nowait"}),
        PolicyPreset("S18", "throttle-flooder", ("cache",), one_arg=("cache", "throttle"), refill_from="E511"),
        PolicyPreset("S19", "list-only", (), direct=False),
        PolicyPreset("S20", "sync-only", (), direct=False),
        PolicyPreset("S21", "trylock", ("cache", "trylock")),
        PolicyPreset("S22", "sheaves", ("cache",), refill_from="E511", values={"slab.sheaf_capacity": 32}),
    )
}


def find_policy(name: str) -> PolicyPreset | None:
    """The preset of this number (S3) or speaking name (worker-cache), or None."""
    return POLICIES.get(name) or next((row for row in POLICIES.values() if row.title == name), None)


def known_policies() -> list[str]:
    """Every number and every speaking name."""
    return [*POLICIES, *(row.title for row in POLICIES.values() if row.name != "epoch")]


REFILL_KEYS = tuple(key for key in _V59 if key.startswith("policy.refill."))
