"""Source "pcp-lockless": pop the CPU's page lists without a lock, a watermark or a type (S1, S2).

After   __rcu_alloc_page_lockless() of the RFC (KF 2.2).
"""

from emu.arch import jit
from emu.mm import NO_PAGE, PG_BNODE, PG_TAKEN, alloc_page_lockless, page_move
from emu.policy.stock import held_add
from emu.stats import VM, count


@jit
def take_pcp_lockless(seg, me, cpu, stock, now):
    """First page of any list of any zone of this CPU. Under krc->lock; legal in every context."""
    pfn = alloc_page_lockless(seg, me, cpu)
    if pfn == NO_PAGE:
        count(seg, me, VM.pcp_lockless_miss)
        return NO_PAGE
    count(seg, me, VM.pcp_lockless_hit)
    page_move(seg, me, pfn, PG_TAKEN, PG_BNODE, cpu)
    held_add(seg, stock, 1)
    return pfn
