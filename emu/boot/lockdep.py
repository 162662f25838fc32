"""The emulated lockdep's settings, and what kind of lock each lock of the machine is.

Rule    runs after the rooms whose locks it names. On an RT machine every spinlock_t sleeps (zone->lock, pcp->lock,
        list_lock, the mempool's); krc->lock, the shared reserve's and the other raw locks spin everywhere.
"""

from collections.abc import Iterator

from emu.arch import Words
from emu.boot.plan import Plan
from emu.config import Resolved
from emu.kvfree import KRC
from emu.mm import CACHE, PCP, ZONE
from emu.policy import POOL, POOL_MEMPOOL, POOL_SHARED
from emu.shm import MAP, MAP_BASE
from emu.stats import HIST
from emu.sync import CPU, LOCK, LOCKDEP, ON_VIOLATION, lockdep_words


def lockdep_regions(procs: int) -> dict[str, int]:
    """Words of the region for so many processes."""
    return {"lockdep": lockdep_words(procs)}


def boot_lockdep(seg: Words, plan: Plan) -> None:
    """Settings, preempt counting, and every lock's kind. After memory and kvfree."""
    resolved, words = plan.resolved, plan.offsets["lockdep"]
    rt = int(resolved.run.preemption == "rt")
    seg[words + LOCKDEP.enabled] = int(resolved.lockdep.enabled)
    seg[words + LOCKDEP.on_violation] = ON_VIOLATION[resolved.lockdep.on_violation]
    seg[words + LOCKDEP.rt] = rt
    for cpu in range(plan.cpus):
        seg[plan.cpu(cpu) + CPU.counts] = int(resolved.run.preempt_count)
        boot_lock(seg, plan.krc(cpu) + KRC.lock, HIST.krc_lock_wait_ns, 0)
    boot_lock(seg, plan.offsets["pools"] + POOL_SHARED * POOL.SIZE + POOL.lock, HIST.pool_lock_wait_ns, 0)
    for lock, wait_hist in spinlocks(seg, plan, resolved):
        boot_lock(seg, lock, wait_hist, rt)


def spinlocks(seg: Words, plan: Plan, resolved: Resolved) -> Iterator[tuple[int, int]]:
    """(word, histogram of waits) of every spinlock_t of the machine."""
    zones, cpus = seg[MAP_BASE + MAP.nr_zones], seg[MAP_BASE + MAP.nr_pcp_cpus]
    for zone in range(zones):
        yield plan.offsets["zones"] + zone * ZONE.SIZE + ZONE.lock, HIST.zone_lock_wait_ns
        for cpu in range(cpus):
            pcp = plan.offsets["pcp"] + (zone * cpus + cpu) * PCP.SIZE
            yield pcp + PCP.lock, HIST.pcp_lock_wait_ns
    yield plan.offsets["pools"] + POOL_MEMPOOL * POOL.SIZE + POOL.lock, HIST.pool_lock_wait_ns
    for index in range(len(resolved.slab.cache_bytes)):
        yield plan.cache(index) + CACHE.lock, HIST.list_lock_wait_ns


def boot_lock(seg: Words, lock: int, wait_hist: int, sleeps: int) -> None:
    """What kind of lock it is."""
    seg[lock + LOCK.wait_hist] = wait_hist + 1
    seg[lock + LOCK.sleeps] = sleeps
