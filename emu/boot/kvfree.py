"""kvfree_rcu(): batch heads, what they share, and the rings that hand batches to the coordinator and back."""

from emu.arch import Words
from emu.boot.plan import Plan, Role
from emu.kvfree import CB, KRC, KVFREE, MAX_BATCHES, MAX_RECORDS_LONG, MAX_RECORDS_SHORT, header_words
from emu.ring import spsc_init, spsc_words_needed
from emu.shm import RECLAIM, round_to_line


def ring_capacity(cpus: int) -> int:
    """Slots of a hand-over ring: it holds every batch that so many CPUs can have, so that putting never fails."""
    return 1 << max(4, (MAX_BATCHES * cpus).bit_length())


def ring_words(cpus: int) -> int:
    """Words of a hand-over ring, in whole lines."""
    return round_to_line(spsc_words_needed(ring_capacity(cpus)))


def kvfree_regions(cpus: int, roles: list[Role]) -> dict[str, int]:
    """Words of the regions of kvfree_rcu() for so many CPUs and the reclaim daemons among the processes."""
    reclaims = sum(role.kind == RECLAIM for role in roles)
    return {
        "krc": cpus * KRC.SIZE,
        "cfg_kvfree": KVFREE.SIZE,
        "rings": reclaims * CB.SIZE,
        "ring_slots": 2 * reclaims * ring_words(cpus),
    }


def boot_kvfree(seg: Words, plan: Plan) -> None:
    """Batch heads, shared settings, and the hand-over rings of each reclaim daemon."""
    boot_krcs(seg, plan)
    boot_rings(seg, plan)


def boot_krcs(seg: Words, plan: Plan) -> None:
    """Shared settings, and each CPU's batch head."""
    kvfree, words = plan.resolved.kvfree, plan.offsets["cfg_kvfree"]
    reclaims = plan.of_kind(RECLAIM)
    seg[words + KVFREE.drain_jiffies] = kvfree.drain_jiffies
    seg[words + KVFREE.flood_jiffies] = kvfree.flood_drain_jiffies
    seg[words + KVFREE.polled] = int(kvfree.polled_cookies)
    seg[words + KVFREE.whole_slot] = int(kvfree.attach == "whole-slot")
    seg[words + KVFREE.work_bound] = int(kvfree.work_bound)
    seg[words + KVFREE.freed_to_worker] = int(kvfree.freed_page_to == "worker")
    seg[words + KVFREE.shrinks_cache] = int(kvfree.shrinker == "queued-and-cached")
    seg[words + KVFREE.nr_batches] = kvfree.nr_batches
    seg[words + KVFREE.batching] = int(kvfree.batching)
    seg[words + KVFREE.work_delay_ns] = kvfree.work_delay_ns
    seg[words + KVFREE.free_cost_ns] = plan.resolved.slab.free_cost_ns
    seg[words + KVFREE.nr_reclaims] = len(reclaims)
    header = header_words(kvfree.bnode_records, kvfree.polled_cookies)
    assert kvfree.bnode_records <= (MAX_RECORDS_LONG if header > 2 else MAX_RECORDS_SHORT)
    for cpu in range(plan.cpus):
        krc = plan.krc(cpu)
        seg[krc + KRC.cap] = kvfree.bnode_records
        seg[krc + KRC.header] = header
        seg[krc + KRC.reclaim] = (reclaims[cpu] if kvfree.work_bound else reclaims[0]).index


def boot_rings(seg: Words, plan: Plan) -> None:
    """Per reclaim daemon, a ring to the coordinator and one back."""
    capacity, at = ring_capacity(plan.cpus), plan.offsets["ring_slots"]
    for index, role in enumerate(plan.of_kind(RECLAIM)):
        cb = plan.offsets["rings"] + index * CB.SIZE
        seg[cb + CB.proc] = role.index
        seg[cb + CB.capacity] = capacity
        for which in (CB.to_coordinator, CB.to_reclaim):
            seg[cb + which] = at
            spsc_init(seg, at, capacity)
            at += ring_words(plan.cpus)
