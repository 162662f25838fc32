"""Bit counts: both bodies, against a definition that shares nothing with them."""

from hypothesis import given
from hypothesis import strategies as st

from emu.arch import ctz64, fls64, jit, mul_shift32

MAX = (1 << 63) - 1


@jit
def compiled_fls64(value):
    return fls64(value)


@jit
def compiled_ctz64(value):
    return ctz64(value)


@jit
def compiled_mul_shift32(value, factor):
    return mul_shift32(value, factor)


@given(st.integers(0, MAX) | st.integers(0, 62).map(lambda n: 1 << n) | st.integers(0, 63).map(lambda n: (1 << n) - 1))
def test_fls64_is_the_length_in_binary(value):
    length = len(f"{value:b}") if value else 0
    assert fls64(value) == compiled_fls64(value) == length


@given((st.integers(-MAX - 1, MAX) | st.integers(0, 62).map(lambda n: -1 << n)).filter(bool))
def test_ctz64_is_the_largest_power_of_two_that_divides(value):
    zeros = compiled_ctz64(value)
    assert zeros == ctz64(value)
    assert value % (1 << zeros) == 0 and value % (1 << (zeros + 1)) != 0


@given(st.integers(0, MAX), st.integers(0, 1 << 40))
def test_mul_shift32_keeps_the_whole_product(value, factor):
    exact = value * factor // (1 << 32)
    if exact <= MAX:
        assert mul_shift32(value, factor) == compiled_mul_shift32(value, factor) == exact
