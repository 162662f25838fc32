"""A page source of one's own: a shelf per CPU, filled from what comes back, and the neighbours' lists spared.

Used by configs/my_policy.toml; docs/policies.md explains every line. Compiled when a run starts.
"""

from emu.policy.api import NO_PAGE, from_cache, from_pcp, pcp_pages, shelf_count, shelf_put, shelf_take, words_of

SHELF_PAGES = 24  # kept per CPU after a flood, 96 KiB
SPARED_PAGES = 16  # left on the CPU's page lists for everybody else
REFUSED = 0  # word 0 of this CPU's own: how often the lists were spared


def take_page(seg, me, cpu, stock, now):
    """The shelf, then the krc's cache, then the CPU's lists as long as they are long."""
    pfn = shelf_take(seg, me, cpu, stock, now)
    if pfn == NO_PAGE:
        pfn = from_cache(seg, me, cpu, stock, now)
    if pfn == NO_PAGE:
        if pcp_pages(seg, cpu) > SPARED_PAGES:
            return from_pcp(seg, me, cpu, stock, now)
        seg[words_of(seg, cpu) + REFUSED] += 1
    return pfn


def put_page(seg, me, cpu, stock, pfn):
    """A page has come back after its grace period: shelve it while there is room; 0 gives it to the cache."""
    if shelf_count(seg, cpu) >= SHELF_PAGES:
        return 0
    return shelf_put(seg, me, cpu, stock, pfn)
