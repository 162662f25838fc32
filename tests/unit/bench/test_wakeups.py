"""Both pairs do every round, and a refill is a refill of the machine."""

import mmap
import os

import pytest

from emu.arch import JIT, Words
from emu.bench import wakeups
from emu.bench.catalogue import p50_us
from emu.bench.machine import MUTATOR_0, REFILL_0, bench_machine
from emu.bench.partner import MEET_WORDS, Partner
from emu.policy import STOCK
from emu.stats import VM, counter

ROUNDS = 20 if JIT else 5


@pytest.fixture
def pair():
    """(machine, area, partner) with the answering halves of both loops on a core of its own, if there is one."""
    machine = bench_machine("memory.managed_pages=1024", shared=True, extra_words=MEET_WORDS + wakeups.area_words(64))
    cores = os.sched_getaffinity(0)
    machine.place(-1, max(cores))
    seg, area = machine.seg, machine.extra + MEET_WORDS
    for loop in (wakeups.raw_ask, wakeups.raw_answer, wakeups.refill_ask, wakeups.refill_answer):
        assert loop(seg, area, 0) == 0
    partner = Partner(seg, machine.extra, max(cores), {
        "raw": lambda n: wakeups.raw_answer(seg, area, n), "refill": lambda n: wakeups.refill_answer(seg, area, n)})
    yield machine, area, partner
    partner.stop()
    machine.check()


def samples(machine, area):
    return machine.seg.words[area + wakeups.SAMPLES : area + wakeups.SAMPLES + ROUNDS].tolist()


def test_every_raw_round_leaves_a_latency(pair):
    machine, area, partner = pair
    for _ in range(2):
        machine.seg[area + wakeups.BELL] = machine.seg[area + wakeups.ANSWER] = 0
        assert partner.sample("raw", ROUNDS, lambda n: wakeups.raw_ask(machine.seg, area, n)) > 0
        assert all(sample > 0 for sample in samples(machine, area))


def test_every_miss_is_answered_by_one_run_of_the_worker(pair):
    machine, area, partner = pair
    partner.sample("refill", ROUNDS, lambda n: wakeups.refill_ask(machine.seg, area, n))
    seg, stock = machine.seg, machine.plan.stock(0)
    assert all(sample > 0 for sample in samples(machine, area))
    assert counter(seg, MUTATOR_0, VM.krc_refill_req) == ROUNDS == counter(seg, REFILL_0, VM.krc_refill_run)
    cached = machine.plan.resolved.kvfree.min_cached_objs
    assert counter(seg, REFILL_0, VM.krc_refill_page) == ROUNDS * cached
    assert seg[stock + STOCK.nr_cached] == cached and seg[stock + STOCK.held] == cached


def test_the_median_is_told_in_microseconds():
    words = Words(mmap.mmap(-1, 8 * wakeups.area_words(3)))
    for i, ns in enumerate((9000, 1000, 2500)):
        words[wakeups.SAMPLES + i] = ns
    assert p50_us(words, 0, 3) == 2.5
