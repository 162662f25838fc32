"""The time series: a row of figures every few milliseconds, read while the machine runs.

Holds   SERIES, the names of a row's columns, sample_step() of the sampler's process.
Rule    the sampler only reads, and every word by itself: a row is no snapshot, its figures are some microseconds apart.
        Rows have room for the whole run; a run that lasts longer than its rows stops being sampled, and says so.
        Its own cost is measured: sampled_ns is the time between the first and the last read of all rows.
Limits  columns zone0_free .. are those of the machine's zones, at most ZONE_COLUMNS.
After   KF 8.4 (minimum outputs).
"""

from emu.arch import jit, jit_apart, load_relaxed, store_relaxed
from emu.kvfree import queued_objects
from emu.mm import ZONE, pcp_count, pcp_of, zone_of
from emu.policy import POLICY, POOL, STOCK, policy_of, stock_of
from emu.rcu import gp_seq
from emu.shm import HEADER, MAP, line, now_ns, record, region, struct
from emu.users.user import USR, user_of
from emu.vmscan import KSWAPD_ASLEEP, LRU_KINDS, LRUVEC, PGDAT, VMSCAN, pgdat_of, vmscan_of

ZONE_COLUMNS = 12
SAMPLE = record(
    "sample", "t_ns", "free_pages", "pcp_pages", "krc_cached_pages", "pool_pages", "bnode_pages", "queued_objects",
    "gp_seq", "gp_in_progress", "lru_pages", "kswapd_awake", "user_pages",
    *(f"zone{index}_free" for index in range(ZONE_COLUMNS)),
)
SERIES = struct(
    "series",
    line("boot()", "interval_ns", "rows_max", "pools", "users"),
    line("sampler", "rows", "sampled_ns", "sampled_max_ns", "late", "due"),
)
GP_STATE = 3  # the low bits of gp_seq


@jit
def series_of(seg):
    """Word offset of the series; its rows follow."""
    return region(seg, MAP.series)


@jit
def row_of(seg, row):
    """Word offset of a row."""
    return series_of(seg) + SERIES.SIZE + row * SAMPLE.SIZE


@jit_apart
def sample_memory(seg, at):
    """Columns of zones and per-CPU lists."""
    free = 0
    listed = 0
    for index in range(region(seg, MAP.nr_zones)):
        here = load_relaxed(seg, zone_of(seg, index) + ZONE.nr_free)
        free += here
        if index < ZONE_COLUMNS:
            seg[at + SAMPLE.zone0_free + index] = here
        for cpu in range(region(seg, MAP.nr_pcp_cpus)):
            listed += pcp_count(seg, pcp_of(seg, index, cpu))
    seg[at + SAMPLE.free_pages] = free
    seg[at + SAMPLE.pcp_pages] = listed
    return 0


@jit_apart
def sample_kvfree(seg, at):
    """Columns of caches, pools, bnodes and what is queued."""
    policy = policy_of(seg)
    cached = 0
    queued = 0
    pooled = 0
    for cpu in range(seg[HEADER.nr_cpus]):
        stock = stock_of(seg, cpu)
        cached += load_relaxed(seg, stock + STOCK.nr_cached)
        pooled += seg[policy + POLICY.static_pages] - load_relaxed(seg, stock + STOCK.static_out)
        queued += queued_objects(seg, cpu)
    for pool in range(seg[series_of(seg) + SERIES.pools]):
        pooled += load_relaxed(seg, region(seg, MAP.pools) + pool * POOL.SIZE + POOL.nr)
    seg[at + SAMPLE.krc_cached_pages] = cached
    seg[at + SAMPLE.pool_pages] = pooled
    seg[at + SAMPLE.bnode_pages] = load_relaxed(seg, policy + POLICY.held_all) - cached
    seg[at + SAMPLE.queued_objects] = queued
    return 0


@jit_apart
def sample_rest(seg, at):
    """Columns of grace periods, reclaim and other users."""
    sequence = gp_seq(seg)
    seg[at + SAMPLE.gp_seq] = sequence
    seg[at + SAMPLE.gp_in_progress] = 1 if sequence & GP_STATE != 0 else 0
    vmscan = vmscan_of(seg)
    listed = 0
    awake = 0
    for node in range(seg[vmscan + VMSCAN.nr_nodes]):
        lists = region(seg, MAP.lruvecs) + node * LRUVEC.SIZE + LRUVEC.count
        for which in range(2 * LRU_KINDS):
            listed += load_relaxed(seg, lists + which)
        if seg[vmscan + VMSCAN.kswapd_on] != 0:
            awake += 1 if load_relaxed(seg, pgdat_of(seg, node) + PGDAT.state) != KSWAPD_ASLEEP else 0
    seg[at + SAMPLE.lru_pages] = listed
    seg[at + SAMPLE.kswapd_awake] = awake
    held = 0
    for index in range(seg[series_of(seg) + SERIES.users]):
        held += load_relaxed(seg, user_of(seg, index) + USR.held)
    seg[at + SAMPLE.user_pages] = held
    return 0


@jit_apart
def sample_step(seg):
    """Write a row if one is due. The sampler only. Returns when the next one is."""
    series = series_of(seg)
    interval = seg[series + SERIES.interval_ns]
    now = now_ns(seg)
    if seg[series + SERIES.due] == 0:
        seg[series + SERIES.due] = seg[HEADER.t_zero]
    due = seg[series + SERIES.due]
    if now < due:
        return due
    late = (now - due) // interval
    seg[series + SERIES.late] += late
    seg[series + SERIES.due] = due + (late + 1) * interval
    rows = seg[series + SERIES.rows]
    if rows < seg[series + SERIES.rows_max]:
        at = row_of(seg, rows)
        seg[at + SAMPLE.t_ns] = now - seg[HEADER.t_zero]
        sample_memory(seg, at)
        sample_kvfree(seg, at)
        sample_rest(seg, at)
        store_relaxed(seg, series + SERIES.rows, rows + 1)
        took = now_ns(seg) - now
        seg[series + SERIES.sampled_ns] += took
        seg[series + SERIES.sampled_max_ns] = max(took, seg[series + SERIES.sampled_max_ns])
    return seg[series + SERIES.due]
