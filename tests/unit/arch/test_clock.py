"""The clock is CLOCK_MONOTONIC, and the cycle counter can be calibrated against it."""

import time

import pytest

from emu.arch import JIT, cycles, invariant_counter, jit, monotonic_ns, sample_pair

READS = 100_000 if JIT else 2_000


@jit
def read_ns():
    return monotonic_ns()


@jit
def read_cycles():
    return cycles()


@jit
def steps_back(reads):
    """How often a reading was smaller than the one before it: (of the clock, of the counter)."""
    ns_back = 0
    last_ns = monotonic_ns()
    cycles_back = 0
    last_cycles = cycles()
    for _ in range(reads):
        ns = monotonic_ns()
        if ns < last_ns:
            ns_back += 1
        last_ns = ns
        count = cycles()
        if count < last_cycles:
            cycles_back += 1
        last_cycles = count
    return ns_back, cycles_back


def test_the_clock_is_the_one_python_reads():
    for _ in range(100):
        before = time.monotonic_ns()
        middle = read_ns()
        assert before <= middle <= time.monotonic_ns()


def test_the_clock_never_steps_back():
    assert steps_back(READS)[0] == 0


@pytest.mark.skipif(not invariant_counter(), reason="this host's counter is not invariant; nothing uses it then")
def test_an_invariant_counter_never_steps_back():
    assert steps_back(READS)[1] == 0


def test_a_pair_lies_between_readings_around_it():
    for _ in range(20):
        before_ns, before_cycles = time.monotonic_ns(), read_cycles()
        ns, count = sample_pair(50)
        assert before_ns <= ns <= time.monotonic_ns()
        if invariant_counter():
            assert before_cycles <= count <= read_cycles()


@pytest.mark.skipif(not invariant_counter(), reason="this host's counter is not invariant; nothing uses it then")
def test_two_pairs_predict_a_third():
    first_ns, first_cycles = sample_pair(200)
    time.sleep(0.05)
    second_ns, second_cycles = sample_pair(200)
    time.sleep(0.05)
    third_ns, third_cycles = sample_pair(200)
    mult = ((second_ns - first_ns) << 32) // (second_cycles - first_cycles)
    predicted = first_ns + ((third_cycles - first_cycles) * mult >> 32)
    assert abs(predicted - third_ns) <= (third_ns - first_ns) // 50  # 2 %: a preempted sample, not a wrong rate


def test_the_answer_about_the_counter_does_not_change():
    assert invariant_counter() is invariant_counter()
