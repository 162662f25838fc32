"""A segment with processes, CPUs, counters and two locks: all that the room needs; and cores to be pinned to."""

import os
from types import SimpleNamespace

import pytest

from emu.arch import private_words
from emu.shm import HEADER, MAP, MAP_BASE, PROC, RUN, round_to_line
from emu.stats import counters_words, histograms_words
from emu.sync import CPU, LOCK, LOCKDEP, NOBODY, lockdep_words

PROCS, CPUS = 4, 2


@pytest.fixture
def machine():
    """A factory: machine(allocate) -> seg, lock, lock2, free (64 words for the test), proc(me), cpu(n).

    Process 0 is the mutator of CPU 0, 1 and 2 are its refill worker and reclaim daemon; CPU 1 has nobody.
    """

    def make(allocate=private_words):
        procs = MAP_BASE + MAP.SIZE
        cpus = procs + PROCS * PROC.SIZE
        counters = cpus + CPUS * CPU.SIZE
        lock = round_to_line(counters + counters_words(PROCS))
        free = lock + 2 * LOCK.SIZE
        lockdep = round_to_line(free + 64)
        histograms = round_to_line(lockdep + lockdep_words(PROCS))
        seg = allocate(histograms + histograms_words(PROCS))
        seg[MAP_BASE + MAP.lockdep], seg[lockdep + LOCKDEP.enabled] = lockdep, 1
        seg[MAP_BASE + MAP.procs], seg[MAP_BASE + MAP.cpus], seg[MAP_BASE + MAP.counters] = procs, cpus, counters
        seg[HEADER.nr_procs], seg[HEADER.nr_cpus], seg[HEADER.verify], seg[HEADER.run_state] = PROCS, CPUS, 1, RUN
        for me in range(PROCS):
            seg[procs + me * PROC.SIZE + PROC.core] = NOBODY
        for cpu in range(CPUS):
            words = cpus + cpu * CPU.SIZE
            seg[words + CPU.counts] = 1
            seg[words + CPU.mutator] = seg[words + CPU.refill] = seg[words + CPU.reclaim] = NOBODY
        seg[cpus + CPU.mutator], seg[cpus + CPU.refill], seg[cpus + CPU.reclaim] = 0, 1, 2
        return SimpleNamespace(
            seg=seg, lockdep=lockdep, histograms=histograms, lock=lock, lock2=lock + LOCK.SIZE, free=free,
            proc=lambda me: procs + me * PROC.SIZE, cpu=lambda cpu: cpus + cpu * CPU.SIZE,
        )

    return make


@pytest.fixture
def shared_machine(machine, shared_words):
    """The same in memory that forked processes share."""
    return machine(shared_words)


@pytest.fixture
def pinned():
    """pinned(seg, proc, core, work): a function that pins its process to a core, says so in PROC.core, and works."""

    def make(machine, me, core, work):
        machine.seg[machine.proc(me) + PROC.core] = core

        def run():
            os.sched_setaffinity(0, {core})
            work()

        return run

    return make


@pytest.fixture
def cores():
    """The cores this process may use, in order."""
    return sorted(os.sched_getaffinity(0))
