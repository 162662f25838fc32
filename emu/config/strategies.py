"""The strategies of the thread in words: what each does, whose it was, what was said for and against it.

Holds   STRATEGIES: a Strategy per policy preset, by its number.
Rule    words only; the composition that runs is the row of the same name in presets.py. Claims are paraphrased.
After   linux-mm and rcu lists, August to October 2020; mm/slub.c and mm/page_alloc.c up to v6.18.
"""

from typing import NamedTuple


class Strategy(NamedTuple):
    """One strategy. settles: the figures that decide the argument about it."""

    mechanism: str
    origin: str
    benefit: str
    failure: str
    settles: str


STRATEGIES = {
    "epoch": Strategy(
        "Whatever the kernel release of run.epoch does.",
        "mainline: v5.9, the RFC, v5.11, v6.1, v6.12 or v6.18, by run.epoch",
        "the reference row of every comparison",
        "its cache is five pages, about 2500 objects",
        "fallback objects and windows"),
    "S1": Strategy(
        "Pop the first page of any of this CPU's page lists with interrupts off. No lock, no watermark, any "
        "migratetype; nothing if the lists of all zones are empty.",
        "Zijlstra (function, 2020-08-14), Rezki (RFC 2/4, 2020-09-18)",
        "no delay, on demand, no private pool; the page goes back to the allocator after the grace period",
        "presses on atomic reserves at second hand, fragments, is empty just under pressure, opens the allocator's "
        "inside to imitation (Gorman, Hocko)",
        "hit share against free pages; the victim's PCP miss rate"),
    "S2": Strategy(
        "S1; on its failure a delayed work item fills the cache by ordinary allocations, whose batch refills the "
        "CPU's lists on the way.",
        "Rezki (RFC 1/4, 3/4 and 4/4, 2020-09-18)",
        "lists that ran empty are repaired by themselves",
        "the worker may run too late, and below the mark its own request fails too (Gorman)",
        "first miss to first hit; share of worker runs that got a page"),
    "S3": Strategy(
        "A cache of a few pages per CPU; a miss takes the fallback and asks a worker to refill it.",
        "Rezki, McKenney (prototype 8c0a1269709d); mainline since v5.11",
        "legal in every context, the allocator stays as it is",
        "until the worker has run everything takes the fallback; how much to hold is not known (Rezki, Hocko)",
        "length of the window, objects in it, cached and unused pages"),
    "S4": Strategy(
        "N pages per CPU, taken at boot, recycled by the free side, never given back.",
        "Gleixner (four pages, 2020-08-15), Hocko (a few dozen, 2020-09-25)",
        "trivial; no dealings with the allocator",
        "a flood wants 100 to 2000 pages per CPU (McKenney); idle memory on phones (Rezki)",
        "peak pages in flight against N; idle page-seconds"),
    "S5": Strategy(
        "mempool: the allocator first, then min_nr reserved pages, then, for callers that may, sleep until one is "
        "freed. A freed page refills the reserve before it goes anywhere else. One pool for all CPUs.",
        "Gorman (2020-09-23)",
        "known pattern for guaranteed progress",
        "needs logic on top of RCU (Rezki); its lock is a spinlock_t, not to be taken under a raw lock: source "
        "mempool-raw is the variant that may",
        "reserve hits, waits, time until the reserve is whole"),
    "S6": Strategy(
        "A pool per CPU whose target the worker raises after an emergency and lowers after a quiet time.",
        "Gorman, Hocko (2020-09-23 to 25)",
        "later emergencies are met without a permanent cost",
        "the system is near OOM before growth takes effect (McKenney); the scheduler's delay is the weak point "
        "(Gorman)",
        "fallbacks in emergency k + 1 against k; first miss to grown"),
    "S7": Strategy(
        "S6 with a small rescue reserve per CPU that is touched only while the grown pool is empty.",
        "Gorman (2020-09-23)",
        "covers the scheduler's delay",
        "how much is enough is not known (Rezki)",
        "lowest level of the rescue reserve; times it was empty"),
    "S8": Strategy(
        "GFP_NOWAIT from the caller, under the krc's raw lock.",
        "mainline v5.7 to v5.10",
        "refills the right lists, obeys the marks, wakes kswapd",
        "zone->lock sleeps on RT; deadlock if the caller holds it already (McKenney, Gleixner)",
        "wait-context violations, self-deadlocks, kswapd wake-ups"),
    "S9": Strategy(
        "S8 with GFP_ATOMIC: may take five eighths of MIN.",
        "mentioned by Rezki (2020-08)",
        "succeeds more often",
        "as S8, and eats the reserves of those who cannot wait",
        "lowest free count against MIN; atomic failures of others"),
    "S10": Strategy(
        "If preemptible(): drop the lock and allocate normally. Else the cache, else the fallback. Without preempt "
        "counting preemptible() is always 0.",
        "Gleixner's 13 patches for unconditional PREEMPT_COUNT (2020-09-14)",
        "half of the problem solved for all builds, without a pool",
        "says nothing about allocation context (Zijlstra); the model is disliked (Torvalds); no help for callers that "
        "are atomic",
        "share of calls that are preemptible"),
    "S11": Strategy(
        "__GFP_NO_LOCKS: the ordinary entry with its LOW mark, but this CPU's list of the wanted type alone: an "
        "empty list is not refilled, and there is no slow path.",
        "Rezki (RFC of 2020-08-09)",
        "one entry point, marks kept",
        "burns a flag, branches in the hot path, invites nonsense (Zijlstra, Hocko, Gorman)",
        "hit share; the cost is on everybody else's allocations"),
    "S12": Strategy(
        "As S11, with the flag looked at only once the list is empty, inside rmqueue_bulk(): a request that passes "
        "LOW or, on the second walk, MIN.",
        "Babka (2020-09-29)",
        "costs nothing while lists have pages",
        "still a flag (Hocko)",
        "as S11"),
    "S13": Strategy(
        "gfp flags of value 0: neither reclaim bit means never wait and never wake. This CPU's lists down to MIN, "
        "but never the last half batch of them.",
        "Hocko (2020-08-13, GFP_RT_SAFE)",
        "no new flag",
        "must not drain a list completely (Hocko); lockdep needs to be told (Gleixner)",
        "hit share; as S21, which is what came of it"),
    "S14": Strategy(
        "A lock-less copy of get_page_from_freelist(): mark (MIN with lowmem_reserve), zone and migratetype are "
        "looked at; nothing rather than the reserves.",
        "asked for by McKenney; Gorman: only this protects the reserves",
        "reserves are safe",
        "duplicated code; this CPU's list may still be empty (Gorman)",
        "lowest free count in a flood against S1"),
    "S15": Strategy(
        "One emergency pool of the machine for every critical user; pages return to it.",
        "discussed by Gorman (2020-09-23)",
        "one pool for all",
        "anyone may call himself critical and empty it, a network driver for instance (Gorman)",
        "what the second user is denied"),
    "S16": Strategy(
        "An attack, not a cure: a loop of non-blocking page requests on one CPU, against the lock-less pop.",
        "Rezki (2020-09: GFP_NOWAIT in a loop can do it today)",
        "none",
        "not the same class: that loop refills from the buddy, obeys marks and wakes kswapd (Gorman)",
        "PCP pages over time; zone->lock takings of others"),
    "S17": Strategy(
        "When the cache runs low, or pages go fast, a softirq on the same CPU refills it after the call, without the "
        "raw lock. If it hit a holder of an allocator lock, the worker does it.",
        "Gleixner (2020-08-15)",
        "meets floods from user space, no change to the allocator",
        "may interrupt a holder of an allocator lock, and then needs the worker after all (McKenney)",
        "threshold to refill; softirqs that had to be deferred"),
    "S18": Strategy(
        "A one-argument caller blocks in GFP_KERNEL until there is a page or a grace period has elapsed.",
        "Gleixner (2020-08-15)",
        "back-pressure on who floods",
        "must not wait longer than a grace period (McKenney); two-argument callers cannot block",
        "rate of producers against reclaim; time callers were blocked"),
    "S19": Strategy(
        "No page at all: two-argument objects are linked through their rcu_head and freed one by one.",
        "baseline",
        "never fails, takes no memory",
        "a cache miss and a kfree() per object; slows reclaim, not who floods (McKenney)",
        "ns per free, list against array; slope of the backlog"),
    "S20": Strategy(
        "No page at all: one-argument callers wait for a grace period and free by themselves.",
        "baseline",
        "never fails",
        "milliseconds to tens of them for each object",
        "waits per object; throughput of the caller"),
    "S21": Strategy(
        "alloc_pages_nolock(): trylock on the lists, trylock on zone->lock to refill them, MIN as the mark; no "
        "kswapd, no slow path, the page zeroed.",
        "Starovoitov for BPF (v6.15)",
        "works under raw locks and, but on RT, in NMI",
        "best effort: fails when contended, and nobody wakes kswapd",
        "trylock failures; free pages drifting to MIN"),
    "S22": Strategy(
        "Objects go to a per-CPU, per-cache array of 32, which is handed to call_rcu() when full and becomes an "
        "allocation cache afterwards.",
        "Babka (v6.18)",
        "memory is used again without the allocator",
        "not on RT in v6.18; an object waits for the last one of its array; costly barriers",
        "hit share, time to flush"),
}
