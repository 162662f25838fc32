"""A hog burns and sleeps in turns, and ends with the run by itself."""

import time

from emu.shm import HEADER
from emu.stats import VM, counter
from emu.users import hog_run
from emu.users.hog import burn
from tests.small_machine import small_machine


def test_a_hog_burns_in_turns_until_the_end_of_the_run():
    machine = small_machine("hogs=[{cpus = [0], busy_ms = 2.0, idle_ms = 3.0}]")
    me = machine.index("hog/0")
    machine.seg[HEADER.t_end] = 0
    burn(machine.seg, me, 0)
    hog_run(machine.seg, me, 0)  # compiled before it counts
    machine.seg[HEADER.t_end] = time.monotonic_ns() + 30_000_000
    hog_run(machine.seg, me, 0)
    assert time.monotonic_ns() >= machine.seg[HEADER.t_end]
    periods, busy_us = (counter(machine.seg, me, item) for item in (VM.hog_periods, VM.hog_busy_us))
    assert 1 <= periods <= 7  # of 5 ms at least, the last one cut
    assert 0 < busy_us <= 30_000


def test_a_hog_that_begins_after_the_end_never_burns():
    machine = small_machine("hogs=[{cpus = [0], start_ms = 60_000}]")
    machine.seg[HEADER.t_end] = time.monotonic_ns() + 5_000_000
    hog_run(machine.seg, machine.index("hog/0"), 0)
    assert counter(machine.seg, machine.index("hog/0"), VM.hog_periods) == 0
