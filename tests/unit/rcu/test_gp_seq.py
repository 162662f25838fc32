"""Grace-period numbers: when a cookie elapses, and that a wrap of the sequence changes nothing."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from emu.arch import wrap64
from emu.rcu import seq_done, seq_end, seq_in_progress, seq_number, seq_snap, seq_start

TOP = (1 << 63) - 1
# Idle sequences: multiples of four, many of them around the wrap.
idle = st.one_of(
    st.integers(-(1 << 40), 1 << 40),
    st.integers((1 << 61) - 50, (1 << 61) - 1),
    st.integers(-(1 << 61), -(1 << 61) + 50),
).map(lambda n: 4 * n)


@pytest.mark.parametrize(("seq", "cookie"), [(0, 4), (1, 8), (4, 8), (5, 12), (400, 404), (401, 408), (-1200, -1196),
                                             (-4, 0), (-3, 4)])
def test_a_running_grace_period_does_not_count_for_a_cookie(seq, cookie):
    assert seq_snap(seq) == cookie


def test_the_sequence_counts_grace_periods_in_steps_of_four():
    seq = -8
    for expected in (-7, -4, -3, 0, 1, 4):
        seq = seq_end(seq) if seq_in_progress(seq) else seq_start(seq)
        assert seq == expected


@given(idle)
@example(TOP - 3)
@example(-TOP - 1)
def test_an_idle_cookie_needs_one_whole_grace_period(seq):
    cookie = seq_snap(seq)
    running = seq_start(seq)
    assert (seq_in_progress(seq), seq_in_progress(running)) == (0, 1)
    assert [seq_done(at, cookie) for at in (seq, running, seq_end(running))] == [0, 0, 1]


@given(idle)
@example(TOP - 3)
@example(TOP - 7)
def test_a_cookie_taken_in_a_grace_period_needs_the_next_one_too(seq):
    running = seq_start(seq)
    cookie = seq_snap(running)
    ended = seq_end(running)
    again = seq_start(ended)
    assert [seq_done(at, cookie) for at in (running, ended, again, seq_end(again))] == [0, 0, 0, 1]


@given(idle, st.integers(0, (1 << 61) - 1))
def test_an_elapsed_cookie_stays_elapsed_for_half_a_lap(seq, later):
    assert seq_done(wrap64(seq_snap(seq) + 4 * later), seq_snap(seq)) == 1


@given(idle, st.integers(13, (1 << 63)))
@example(0, 1 << 63)
def test_a_cookie_too_far_ahead_is_one_that_was_lapped(seq, ahead):
    assert seq_done(seq, wrap64(seq + ahead)) == 1


@given(idle, st.integers(1, 12))
def test_no_cookie_within_three_grace_periods_ahead_counts_as_lapped(seq, ahead):
    assert seq_done(seq, wrap64(seq + ahead)) == 0


@given(idle)
@example(TOP - 3)
def test_neighbouring_grace_periods_have_different_numbers_of_31_bits(seq):
    first, second = seq_number(seq_start(seq)), seq_number(seq_start(seq_end(seq_start(seq))))
    assert first != second
    assert 0 <= first < 1 << 31 and 0 <= second < 1 << 31
