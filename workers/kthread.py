"""A worker's life, compiled: prepare, park at the start line, leave it together, stop.

Rule    every main is: park(); then its loop until should_stop(). A worker that has nothing to do sleeps on its bell.
"""

from emu.arch import cpu_relax, jit, load_acquire, store_relaxed
from emu.shm import BOOT, EXITED, HEADER, MUTATOR, PARKED, PROC, RUNNING, STOP, now_ns, proc_of, run_state
from emu.stats import HIST, hist_record
from emu.sync import bell_seen, proc_sleep

LINE_UP_NS = 200_000  # before time zero, awake
NOISE_GAP_NS = 1_000  # two clock readings further apart than this were interrupted


@jit
def settle(seg, me):
    """Wait until the launcher has put this process on its core and in its class."""
    proc = proc_of(seg, me)
    # ACQ proc.placed: placed before work. Pairs with REL in start_children() of the launcher.
    while load_acquire(seg, proc + PROC.placed) == 0 and run_state(seg) == BOOT:
        seen = bell_seen(seg, me)
        if load_acquire(seg, proc + PROC.placed) == 0:  # ACQ proc.placed: as above
            proc_sleep(seg, me, seen, now_ns(seg) + 100_000_000)


@jit
def measure_noise(seg, me):
    """Spin for the configured time and note the gaps: what the host takes from a process that never yields.

    Between the launcher's word and time zero, when everybody else sleeps.
    """
    proc = proc_of(seg, me)
    span = seg[HEADER.noise_ns]
    start = now_ns(seg)
    before = start
    while before - start < span:
        now = now_ns(seg)
        gap = now - before
        if gap > NOISE_GAP_NS:
            hist_record(seg, me, HIST.noise_gap_ns, gap)
            seg[proc + PROC.noise_sum] += gap
            if gap > seg[proc + PROC.noise_max]:
                seg[proc + PROC.noise_max] = gap
        before = now
    seg[proc + PROC.noise_span] = before - start


@jit
def park(seg, me):
    """Wait at the start line for the launcher's word, then until time zero. 1, or 0 if the run never starts."""
    proc = proc_of(seg, me)
    store_relaxed(seg, proc + PROC.t_ready, now_ns(seg))
    store_relaxed(seg, proc + PROC.state, PARKED)
    while True:
        seen = bell_seen(seg, me)
        state = run_state(seg)
        if state != BOOT:
            break
        proc_sleep(seg, me, seen, now_ns(seg) + 1_000_000_000)
    if state >= STOP:
        return 0
    zero = seg[HEADER.t_zero]
    if seg[proc + PROC.role] == MUTATOR:
        measure_noise(seg, me)
    while zero - now_ns(seg) > LINE_UP_NS:
        proc_sleep(seg, me, bell_seen(seg, me), zero - LINE_UP_NS)
    while now_ns(seg) < zero:
        cpu_relax()
    store_relaxed(seg, proc + PROC.state, RUNNING)
    return 1


@jit
def should_stop(seg):
    """1 once the run is over for daemons (mutators stop at its DRAIN)."""
    return 1 if run_state(seg) >= STOP else 0


@jit
def leave(seg, me):
    """The last step of every main."""
    store_relaxed(seg, proc_of(seg, me) + PROC.state, EXITED)


@jit
def sleep_until_stopped(seg, me):
    """Nothing left to do: sleep until the launcher stops the run."""
    while should_stop(seg) == 0:
        seen = bell_seen(seg, me)
        if should_stop(seg) == 0:
            proc_sleep(seg, me, seen, now_ns(seg) + 1_000_000_000)
