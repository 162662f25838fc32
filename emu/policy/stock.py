"""The pages a CPU holds for kvfree_rcu(): the krc page cache, and the accounts of what is held and for how long.

Holds   STOCK: cached pages (last in, first out), refill state, fallback window, footprint integrals; POLICY: the
        composition, the same for all CPUs.
Rule    the cache and the accounts are under krc->lock, as in the kernel; the refill line is the single-flight flag
        and the time stamps that travel from the missing mutator to the worker and back.
        Integrals (pages x ns) are brought up to date whenever a count changes, so their sum is exact.
After   Linux kernel/rcu/tree.c: get_cached_bnode, put_cached_bnode, drain_page_cache (KF 2.7).
"""

from emu.arch import fetch_add_relaxed, jit, load_relaxed, store_relaxed
from emu.mm import NO_PAGE, PAGE, PG_BNODE, PG_CACHE, page_move, page_of
from emu.shm import MAP, line, now_ns, region, struct

MAX_SOURCES = 8

POLICY = struct(
    "policy",
    line("boot()", "nr_sources", ("sources", MAX_SOURCES), "nr_one_arg", ("one_arg", MAX_SOURCES),
         "min_cached", "trigger", "path", "delay_jiffies", "bound", "gfp", "amount", "stop_on_failure",
         "count_from_zero", "backoff_ns", "backoff_amount", "hrtimer_cost_ns", "static_pages", "direct_gfp",
         "grows", "grow_pages", "grow_limit", "shrink_ns", "base_pages", "low_stock", "busy_ns", "user_puts"),
    line("anyone, by read-modify-write", "held_all", "held_peak"),
)

STOCK = struct(
    "stock",
    line("krc->lock", "lock", "nr_cached", "cache_head", "held", "held_peak", "held_ns", "cache_ns", "stamp",
         "window_start", "window_objects", "static_out", "static_ns"),
    line("single-flight: compare-and-swap; stamps: mutator, then worker", "in_progress", "backoff", "t_miss", "t_bell",
         "due", "t_run", "t_pub", "aside", "hit_pending", "worker", "deferred", "t_open"),
    line("krc->lock; gp_waited: the mutator", "windows", "window_ns", "misses", "hits", "gp_waited", "t_take"),
    line("the mutator sets it, who refills clears it", "t_low"),
)

TRIGGERS = {"none": 0, "miss": 1, "low-stock": 2}
ON_LOW_STOCK = TRIGGERS["low-stock"]
PATHS = {"hrtimer": 0, "direct": 1, "delayed": 2, "softirq": 3}
PATH_HRTIMER, PATH_DIRECT, PATH_DELAYED, PATH_SOFTIRQ = 0, 1, 2, 3


@jit
def policy_of(seg):
    """Word offset of the composition."""
    return region(seg, MAP.policy)


@jit
def stock_of(seg, cpu):
    """Word offset of a CPU's stock."""
    return region(seg, MAP.stock) + cpu * STOCK.SIZE


@jit
def stock_settle(seg, stock, now):
    """Bring the CPU's integrals up to `now`. Under krc->lock."""
    span = now - seg[stock + STOCK.stamp]
    seg[stock + STOCK.stamp] = now
    seg[stock + STOCK.held_ns] += span * seg[stock + STOCK.held]
    seg[stock + STOCK.cache_ns] += span * seg[stock + STOCK.nr_cached]
    seg[stock + STOCK.static_ns] += span * (seg[policy_of(seg) + POLICY.static_pages] - seg[stock + STOCK.static_out])


@jit
def held_add(seg, stock, pages):
    """Change the pages this CPU holds (cached or in bnodes) by `pages`, after stock_settle(). Under krc->lock."""
    held = seg[stock + STOCK.held] + pages
    store_relaxed(seg, stock + STOCK.held, held)
    if held > seg[stock + STOCK.held_peak]:
        seg[stock + STOCK.held_peak] = held
    policy = policy_of(seg)
    everyone = fetch_add_relaxed(seg, policy + POLICY.held_all, pages) + pages
    # A peak that two CPUs reach in the same instant may be noted by either: both noted values were real.
    if everyone > load_relaxed(seg, policy + POLICY.held_peak):
        store_relaxed(seg, policy + POLICY.held_peak, everyone)


@jit
def cache_get(seg, me, cpu, stock):
    """Pop a page off the cache for a bnode, or NO_PAGE. Under krc->lock; stock_settle() first."""
    pfn = seg[stock + STOCK.cache_head]
    if pfn == NO_PAGE:
        return NO_PAGE
    seg[stock + STOCK.cache_head] = seg[page_of(seg, pfn) + PAGE.next]
    store_relaxed(seg, stock + STOCK.nr_cached, seg[stock + STOCK.nr_cached] - 1)
    page_move(seg, me, pfn, PG_CACHE, PG_BNODE, cpu)
    return pfn


@jit
def cache_put(seg, me, cpu, stock, pfn, was):
    """Push a page in state `was` onto the cache; 0 if the cache is full. Under krc->lock; stock_settle() first."""
    cached = seg[stock + STOCK.nr_cached]
    if cached >= seg[policy_of(seg) + POLICY.min_cached]:
        return 0
    if page_move(seg, me, pfn, was, PG_CACHE, cpu) == 0:
        return 0
    seg[page_of(seg, pfn) + PAGE.next] = seg[stock + STOCK.cache_head]
    seg[stock + STOCK.cache_head] = pfn
    store_relaxed(seg, stock + STOCK.nr_cached, cached + 1)
    return 1


@jit
def window_open(seg, stock, now):
    """A call found no page: the fallback window opens, unless it is open. Under krc->lock."""
    seg[stock + STOCK.misses] += 1
    if seg[stock + STOCK.window_start] == 0:
        seg[stock + STOCK.window_start] = now
        seg[stock + STOCK.window_objects] = 0


@jit
def stock_now(seg, stock):
    """The run's clock, with the integrals brought up to it. Under krc->lock."""
    now = now_ns(seg)
    stock_settle(seg, stock, now)
    return now
