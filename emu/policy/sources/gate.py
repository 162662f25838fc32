"""Source "gate" (S10): who is preemptible() drops the lock and allocates; everybody else asks the next source.

Rule    preemptible() is the kernel's: 0 where preemption is not counted, and it says nothing of the context that the
        request is made from.
After   the series of 2020-09-14 (KF 1.2, S10; KF 4.8).
"""

from emu.arch import jit
from emu.stats import VM, count
from emu.sync import preemptible


@jit
def gate_is_open(seg, me, cpu):
    """1 if the caller may allocate for itself. Mutator of `cpu`, under krc->lock, which is not counted."""
    if preemptible(seg, cpu) == 0:
        count(seg, me, VM.gate_closed)
        return 0
    count(seg, me, VM.gate_open)
    return 1
