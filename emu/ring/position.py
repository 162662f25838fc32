"""Free-running positions: how far one is ahead of another, right across the wrap of int64.

Rule    positions and cycle tags are compared by difference, never by size. The difference must be an int64 that
        wrapped: Numba marks int64 arithmetic as never overflowing, and LLVM then turns `a - b < 0` into `a < b`,
        which is wrong on the two sides of the wrap (seen with Numba 0.68). hide() keeps it from knowing that the
        number it compares was a difference; it costs no instruction.
"""

from emu.arch import hide, jit, wrap64


@jit
def ahead(a, b):
    """How far position a is ahead of position b; negative when it is behind. Right for |a - b| < 2**63."""
    return wrap64(hide(a - b))
