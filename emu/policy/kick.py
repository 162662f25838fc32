"""Setting a refill request on its way: to the worker, or to a softirq.

Rule    asked about by every call that needed a page; what only a softirq needs is in softirq.py, apart, so that a run
        without one does not compile it.
"""

from emu.arch import jit_apart, load_relaxed
from emu.policy.refill import refill_request, refill_ring
from emu.policy.softirq import raise_softirq
from emu.policy.stock import PATH_SOFTIRQ, POLICY, STOCK, policy_of


@jit_apart
def refill_if_low(seg, me, stock):
    """Ask for a refill if the stock was found low; 1 if this call is the one that has to kick. Under krc->lock."""
    if load_relaxed(seg, stock + STOCK.t_low) == 0:
        return 0
    return refill_request(seg, me, stock)


@jit_apart
def refill_kick(seg, me, cpu, stock):
    """Set the request just made on its way: by softirq, or by the worker's bell. The mutator, with no lock held."""
    if seg[policy_of(seg) + POLICY.path] == PATH_SOFTIRQ and raise_softirq(seg, me, cpu, stock) != 0:
        return 0
    return refill_ring(seg, me, cpu, stock)
