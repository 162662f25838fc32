"""The benchmark's one-core loops do the work they are timed for."""

import pytest

from emu.arch import JIT, private_words
from emu.bench import ring as bench
from emu.ring import position

N = 64_000 if JIT else 320


@pytest.fixture
def seg():
    words = private_words(bench.ring_bench_words())
    bench.ring_bench_setup(words)
    return words


@pytest.mark.parametrize("loop, expected", [
    (bench.bench_spsc_one_core, sum(range(N))),
    (bench.bench_spsc_block_one_core, N),
    (bench.bench_mpmc_one_core, sum(range(N))),
    (bench.bench_mpmc_both, sum(range(N))),
    (bench.bench_stack_one_core, (bench.DEPTH - 1) * N),
    (bench.bench_stack_both, (bench.DEPTH - 1) * N),
    (bench.bench_stack_many_one_core, N),
])
def test_one_core_loop_returns_what_it_moved(seg, loop, expected):
    assert loop(seg, N) == expected
    assert loop(seg, 0) == 0


@pytest.mark.parametrize("loop", [
    bench.bare_spsc_one_core, bench.bare_spsc_block_one_core, bench.bare_mpmc_one_core, bench.bare_stack_one_core,
    bench.bare_stack_many_one_core, bench.bare_both, bench.bare_produce,
])
def test_bare_twins_leave_the_structures_alone(seg, loop):
    loop(seg, N)
    assert bench.bench_mpmc_one_core(seg, 32) == sum(range(32))
    assert bench.bench_spsc_one_core(seg, 32) == sum(range(32))
    assert bench.bench_stack_one_core(seg, 32) == 32 * (bench.DEPTH - 1)


@pytest.mark.parametrize("a, b, distance", [
    (5, 3, 2), (3, 5, -2), (-(1 << 63), (1 << 63) - 1, 1), ((1 << 63) - 1, -(1 << 63), -1), (2, -3, 5),
])
def test_positions_are_compared_across_the_wrap(a, b, distance):
    assert position.ahead(a, b) == distance
