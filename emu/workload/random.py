"""Random numbers from compiled code: xorshift64, one state word per mutator, seeded by the run.

Limits  good enough to mix sizes, contexts and gaps; not for anything secret. The state is never 0.
After   Marsaglia, "Xorshift RNGs" (2003), the 13-7-17 triple.
"""

import math

from emu.arch import jit, wrap64

FRACTION_BITS = 32  # shares and cumulative weights are 32-bit fractions
ONE = 1 << FRACTION_BITS
_MASK_57 = (1 << 57) - 1


@jit
def next_random(seg, state):
    """The next 63 random bits; moves the state word. Its owner only."""
    x = seg[state]
    x = wrap64(x ^ wrap64(x << 13))
    x ^= (x >> 7) & _MASK_57
    x = wrap64(x ^ wrap64(x << 17))
    seg[state] = x
    return x & 0x7FFFFFFFFFFFFFFF


@jit
def random_fraction(seg, state):
    """A 32-bit fraction in 0..ONE-1. The high bits: the low ones of xorshift are weaker."""
    return next_random(seg, state) >> 31


@jit
def random_below(seg, state, limit):
    """A number in 0..limit-1, limit below 2**31."""
    return (random_fraction(seg, state) * limit) >> FRACTION_BITS


@jit
def random_exponential(seg, state, mean):
    """An exponentially distributed number of nanoseconds with this mean."""
    return int(-math.log((random_fraction(seg, state) + 1) / ONE) * mean)


def seed_state(seed: int, stream: int) -> int:
    """The state word for one stream of a seed: splitmix64 of both, never 0."""
    z = (seed + (stream + 1) * 0x9E3779B97F4A7C15) & ((1 << 64) - 1)
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & ((1 << 64) - 1)
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & ((1 << 64) - 1)
    return wrap64((z ^ (z >> 31)) or 1)
