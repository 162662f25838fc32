"""Grace-period numbers: the two state bits, cookies, and when a cookie has elapsed.

Rule    gp_seq: low two bits 0 idle, 1 in progress; the rest counts. A cookie is the value that gp_seq must reach:
        a grace period that runs already when the cookie is taken does not count for it.
        Comparisons are by difference, so the sequence may wrap.
After   Linux kernel/rcu/rcu.h: rcu_seq_snap, rcu_seq_done, rcu_seq_done_exact (KF 4.1).
"""

from emu.arch import jit, wrap64

SEQ_STATE_MASK = 3
SEQ_STEP = 4


@jit
def seq_start(seq):
    """gp_seq once a grace period has begun."""
    return wrap64(seq + 1)


@jit
def seq_end(seq):
    """gp_seq once the grace period has ended: the next multiple of four."""
    return wrap64((seq | SEQ_STATE_MASK) + 1)


@jit
def seq_in_progress(seq):
    """1 while a grace period runs."""
    return 1 if seq & SEQ_STATE_MASK != 0 else 0


@jit
def seq_snap(seq):
    """The cookie for an update made before gp_seq was read as `seq`."""
    return wrap64(seq + 2 * SEQ_STATE_MASK + 1) & ~SEQ_STATE_MASK


@jit
def seq_done(seq, cookie):
    """1 if the cookie has elapsed at `seq`. Also for a cookie so old that the sequence has lapped it."""
    past = wrap64(seq - cookie)
    if past >= 0:
        return 1
    # More than two grace periods ahead of us cannot be a cookie of this lap (rcu_seq_done_exact).
    return 1 if past < -3 * SEQ_STEP else 0


@jit
def seq_number(seq):
    """Number of the grace period that runs at `seq`, as 31 bits: the tag of its masks."""
    return (seq >> 2) & 0x7FFFFFFF
