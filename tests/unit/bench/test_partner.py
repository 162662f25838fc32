"""The partner runs its half when told, says when it has done, and leaves."""

import mmap
import os
import signal

import pytest

from emu.arch import JIT, Words, load_relaxed
from emu.bench.partner import MEET_WORDS, Partner, line_bounce, meet, ping, pong
from emu.errors import HostError
from emu.shm import LINE_WORDS

BOUNCE = 2 * LINE_WORDS
N = 2000 if JIT else 50


@pytest.fixture
def seg():
    words = Words(mmap.mmap(-1, 8 * (MEET_WORDS + 8)))
    meet(words, 0, 0, 0)
    ping(words, BOUNCE, 0)
    pong(words, BOUNCE, 0)
    return words


@pytest.fixture
def partner(seg):
    """A partner on the core that this process would get last, with three loops; closed at the end."""

    def note(n):
        seg[MEET_WORDS] = n

    def fail(n):
        os.kill(os.getpid(), signal.SIGKILL)

    started = Partner(seg, 0, max(os.sched_getaffinity(0)), {
        "note": note, "bounce": lambda n: pong(seg, BOUNCE, n), "die": fail})
    yield started
    started.stop()


def test_each_command_runs_its_loop_once_and_is_over_when_told(seg, partner):
    for n in (3, 1, 4):
        assert partner.sample("note", n, lambda n: None) >= 0
        assert seg[MEET_WORDS] == n


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_a_line_bounces_as_often_as_asked(seg, partner):
    for _ in range(3):
        assert line_bounce(partner, seg, BOUNCE, N) > 0
        assert seg[BOUNCE] == 2 * N


def test_a_partner_that_dies_is_reported_with_its_loop(seg, partner):
    with pytest.raises(HostError, match=r"ended with signal 9 \(SIGKILL\) in loop die"):
        partner.sample("die", 1, lambda n: None)


def test_a_partner_left_alone_at_the_start_line_is_not_left_behind(seg, partner):
    os.write(partner._commands, b"note 1\n")  # and nobody meets it; the fixture stops it, the leftover check looks
    while load_relaxed(seg, LINE_WORDS) != 1:
        os.sched_yield()
    assert seg[MEET_WORDS] == 0
