"""A hog: a process that burns its core for busy_ns, sleeps for idle_ns, and again.

Rule    it burns only while the run runs and before the run's end, which it knows by itself: a hog of a real-time class
        that kept the launcher from its core would end all the same.
After   KF 8.3, workload 11.
"""

from emu.arch import cpu_relax, jit, jit_apart
from emu.shm import HEADER, MAP, RUN, line, now_ns, region, run_state, struct
from emu.stats import HIST, VM, count, count_n, hist_record
from emu.sync import bell_seen, proc_sleep

HOG_SLOT = struct("hog", line("boot()", "busy_ns", "idle_ns", "start_ns"))
GAP_NS = 20_000  # two looks at the clock further apart than this: the hog itself was taken off its core


@jit
def hog_of(seg, index):
    """Word offset of a hog's settings."""
    return region(seg, MAP.hogs) + index * HOG_SLOT.SIZE


@jit_apart
def burn(seg, me, until):
    """Keep the core until `until`, or the end of the run."""
    start = now_ns(seg)
    before = start
    while before < until and run_state(seg) == RUN:
        for _ in range(8):
            cpu_relax()
        now = now_ns(seg)
        if now - before > GAP_NS:
            hist_record(seg, me, HIST.hog_preempted_ns, now - before)
        before = now
    count_n(seg, me, VM.hog_busy_us, (before - start) // 1000)
    return 0


@jit_apart
def hog_run(seg, me, index):
    """The hog's whole life between the start line and the end of the run."""
    hog = hog_of(seg, index)
    end = seg[HEADER.t_end]
    at = seg[HEADER.t_zero] + seg[hog + HOG_SLOT.start_ns]
    while run_state(seg) == RUN:
        seen = bell_seen(seg, me)
        now = now_ns(seg)
        if now >= end:
            break
        if now < at:
            proc_sleep(seg, me, seen, min(at, end))
            continue
        count(seg, me, VM.hog_periods)
        burn(seg, me, min(now + seg[hog + HOG_SLOT.busy_ns], end))
        at = now_ns(seg) + seg[hog + HOG_SLOT.idle_ns]
    return 0
