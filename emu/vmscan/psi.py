"""Pressure stall information of memory: for how long somebody was stalled, for how long nobody got on.

Holds   PSI, a task's states, memstall_enter() and memstall_leave(), the averages over 10, 60 and 300 s.
Rule    a task is idle, running or stalled. some: at least one is stalled. full: some, and none runs. Both are integrals
        of the run's clock, brought up to date at every change under the lock, so they are exact. Tasks are the
        mutators, the applications, and workers while they are stalled.
Limits  one group for the machine, where the kernel keeps one per CPU and weighs them. A task asleep inside a stall is
        stalled. Averages are percent << 11 and move every 2 s.
After   Linux kernel/sched/psi.c, calc_load() (KF 3.9).
"""

from emu.arch import jit, jit_apart, load_relaxed, store_relaxed
from emu.shm import MAP, line, now_ns, region, struct
from emu.sync import LOCK, spin_lock, spin_unlock
from emu.vmscan.state import TASK, VMSCAN, task_of, vmscan_of

PSI = struct(
    "psi",
    line("psi lock", ("lock", LOCK.SIZE)),
    line("psi lock; totals: read anywhere", "running", "stalled", "since", "some_ns", "full_ns"),
    line("monitor", "avg_at", "some_before", "full_before", ("some_avg", 3), ("full_avg", 3)),
)
PSI_IDLE, PSI_RUNNING, PSI_STALLED = 0, 1, 2

PSI_FREQ_NS = 2_000_000_000
FSHIFT = 11
FIXED_1 = 1 << FSHIFT


@jit
def psi_of(seg):
    """Word offset of the machine's pressure."""
    return region(seg, MAP.psi)


@jit
def psi_settle(seg, now):
    """Bring the totals up to `now`. Under the lock."""
    psi = psi_of(seg)
    span = max(0, now - seg[psi + PSI.since])
    seg[psi + PSI.since] = max(now, seg[psi + PSI.since])
    if seg[psi + PSI.stalled] > 0:
        store_relaxed(seg, psi + PSI.some_ns, seg[psi + PSI.some_ns] + span)
        if seg[psi + PSI.running] == 0:
            store_relaxed(seg, psi + PSI.full_ns, seg[psi + PSI.full_ns] + span)


@jit_apart
def psi_change(seg, me, state):
    """Process `me` is now idle, running or stalled. Itself only. Returns its state before."""
    psi = psi_of(seg)
    task = task_of(seg, me)
    was = seg[task + TASK.psi]
    if was == state:
        return was
    seg[task + TASK.psi] = state
    spin_lock(seg, me, psi + PSI.lock)
    psi_settle(seg, now_ns(seg))
    if was == PSI_RUNNING:
        seg[psi + PSI.running] -= 1
    elif was == PSI_STALLED:
        seg[psi + PSI.stalled] -= 1
    if state == PSI_RUNNING:
        seg[psi + PSI.running] += 1
    elif state == PSI_STALLED:
        seg[psi + PSI.stalled] += 1
    spin_unlock(seg, me, psi + PSI.lock)
    return was


@jit
def psi_task(seg, me, state):
    """psi_change() for a mutator that goes idle or wakes, where pressure is kept; nothing elsewhere."""
    if seg[vmscan_of(seg) + VMSCAN.psi_on] != 0:
        psi_change(seg, me, state)


@jit
def memstall_enter(seg, me):
    """A stall on memory begins; returns what memstall_leave() needs. Nests."""
    if seg[task_of(seg, me) + TASK.psi] == PSI_STALLED:
        return PSI_STALLED
    return psi_change(seg, me, PSI_STALLED)


@jit
def memstall_leave(seg, me, before):
    """The stall is over."""
    if before != PSI_STALLED:
        psi_change(seg, me, before)


@jit
def psi_totals_now(seg, me):
    """Settle under the lock, so that the totals hold up to now. Anyone."""
    psi = psi_of(seg)
    spin_lock(seg, me, psi + PSI.lock)
    psi_settle(seg, now_ns(seg))
    spin_unlock(seg, me, psi + PSI.lock)


@jit
def decay(average, factor, percent):
    """One step of an exponentially damped average, as calc_load()."""
    moved = average * factor + percent * (FIXED_1 - factor)
    if percent >= average:
        moved += FIXED_1 - 1
    return moved // FIXED_1


@jit
def decay_of(horizon):
    """The damping factor of the averages over 10, 60 and 300 s, for steps of 2 s."""
    return 1677 if horizon == 0 else (1981 if horizon == 1 else 2034)


@jit_apart
def psi_update_averages(seg, me):
    """Move the averages by every full 2 s that have passed. Monitor only. Returns the time of the next step."""
    psi = psi_of(seg)
    psi_totals_now(seg, me)
    now = now_ns(seg)
    if now < seg[psi + PSI.avg_at]:
        return seg[psi + PSI.avg_at]
    some = load_relaxed(seg, psi + PSI.some_ns)
    full = load_relaxed(seg, psi + PSI.full_ns)
    missed = (now - seg[psi + PSI.avg_at]) // PSI_FREQ_NS
    span = PSI_FREQ_NS * (missed + 1)
    some_percent = min(100 * FIXED_1, (some - seg[psi + PSI.some_before]) * 100 * FIXED_1 // span)
    full_percent = min(100 * FIXED_1, (full - seg[psi + PSI.full_before]) * 100 * FIXED_1 // span)
    for _ in range(missed + 1):
        for horizon in range(3):
            factor = decay_of(horizon)
            at = psi + PSI.some_avg + horizon
            store_relaxed(seg, at, decay(load_relaxed(seg, at), factor, some_percent))
            at = psi + PSI.full_avg + horizon
            store_relaxed(seg, at, decay(load_relaxed(seg, at), factor, full_percent))
    seg[psi + PSI.some_before] = some
    seg[psi + PSI.full_before] = full
    seg[psi + PSI.avg_at] += span
    return seg[psi + PSI.avg_at]
