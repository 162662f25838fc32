"""The machine that is measured on is a booted one, and its faults are not silent."""

import os
import time

import pytest

from emu.arch import JIT
from emu.bench.machine import MUTATOR_0, REFILL_0, bench_machine, use_cycles
from emu.errors import FaultError
from emu.shm import F_SELF_DEADLOCK, HEADER, PROC, now_ns, proc_of, raise_fault
from emu.stats import VM, count, counter


def test_a_fault_voids_the_figures():
    machine = bench_machine("memory.managed_pages=1024")
    machine.check()
    raise_fault(machine.seg, MUTATOR_0, F_SELF_DEADLOCK, 7, 0, 0)
    with pytest.raises(FaultError, match=r"faulted with self_deadlock \(arguments 7, 0\)"):
        machine.check()


def test_a_shared_machine_is_seen_by_a_fork(fork):
    machine = bench_machine("memory.managed_pages=1024", shared=True, extra_words=4)
    count(machine.seg, MUTATOR_0, VM.kmalloc)

    def work():
        count(machine.seg, REFILL_0, VM.kmalloc)
        machine.seg[machine.extra + 3] = os.getpid()

    child = fork(work)
    pid = child.pid
    assert child.wait() == 0
    assert counter(machine.seg, REFILL_0, VM.kmalloc) == 1 and machine.seg[machine.extra + 3] == pid


def test_processes_stand_where_they_are_placed():
    machine = bench_machine("memory.managed_pages=1024")
    machine.place(5, 9)
    assert machine.seg[proc_of(machine.seg, MUTATOR_0) + PROC.core] == 5
    assert machine.seg[proc_of(machine.seg, REFILL_0) + PROC.core] == 9


def test_the_cycle_counter_keeps_monotonic_time():
    machine = bench_machine("memory.managed_pages=1024")
    if not use_cycles(machine.seg):
        assert machine.seg[HEADER.clock_mult] == 0
    before = time.monotonic_ns()
    now = now_ns(machine.seg)
    after = time.monotonic_ns()
    slack = 1_000_000 if JIT else 10_000_000  # of a calibration that takes 20 ms
    assert before - slack <= now <= after + slack
