"""`emu bench`: the primitives measured against bare loops, on pinned cores, interleaved.

Door of the room: run_bench(). May import every room; nothing imports it but the command line.
"""

import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from emu.arch import JIT
from emu.bench.catalogue import CATALOGUE, NAMES, Bench, Host, bounce
from emu.bench.machine import bench_machine
from emu.bench.measure import OneCore, measure
from emu.bench.primitives import locked_rmw
from emu.bench.table import foot_lines, head_lines, row_lines, skipped_line
from emu.errors import ConfigError
from emu.host import choose_cores, host_record, pin, read_topology

__all__ = ["NAMES", "run_bench"]


def run_bench(names: Sequence[str] = (), rounds: int = 7, quick: bool = False) -> int:
    """Measure the named benchmarks (all, if none is named) and print the table; returns the exit code 0.

    rounds: samples of each side. quick: small sizes, to see that everything runs. Raises ConfigError for a name or a
    number of rounds that is none, HostError where a core may not be had. This process is pinned meanwhile.
    """
    chosen = choose(names)
    if rounds < 1:
        raise ConfigError(f"--rounds {rounds}: must be >= 1; 7 is the default")
    if JIT and not quick:
        print("emu: compiling what is not in the cache; the first time this takes a minute or two",
              file=sys.stderr, flush=True)
    topology = read_topology()
    near, far = two_cores(topology)
    host = Host(near, far, rounds, quick)
    with pinned(near):
        for line in head(host, topology):
            print(line, flush=True)
        for bench in chosen:
            if bench.two_cores and far is None:
                print(skipped_line(bench), flush=True)
                continue
            for line in row_lines(bench, bench.run(host), judged=JIT and not quick):
                print(line, flush=True)
        for line in foot_lines(host):
            print(line, flush=True)
    return 0


def choose(names: Sequence[str]) -> list[Bench]:
    """The benchmarks of these names, in the order of the catalogue. ConfigError for an unknown one."""
    for name in names:
        if name not in NAMES:
            raise ConfigError(f'bench "{name}": there is none of this name; there are {", ".join(NAMES)}')
    return [bench for bench in CATALOGUE if not names or bench.name in names]


def two_cores(topology) -> tuple[int, int | None]:
    """Two near cores that this process may use, on different physical cores where there are such; None: only one."""
    near, far = choose_cores("auto", topology, 2).cores
    return near, None if near == far else far


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """This process on one core for the time of the block."""
    before = os.sched_getaffinity(0)
    pin(0, [core])
    try:
        yield
    finally:
        pin(0, before)


def head(host: Host, topology) -> Iterator[str]:
    """The lines above the table, with what they say measured now."""
    record = host_record(topology)
    machine = bench_machine()
    locked = measure(OneCore(machine.seg, locked_rmw, locked_rmw), "ns", host.rounds, host.quick).value
    versions = f"numba {record['packages']['numba']}, Python {platform.python_version()}"
    model = f"{record['cpu_model'] or record['machine']}, {record['hypervisor'] or 'no hypervisor seen'}"
    return head_lines(host, model, versions, locked, None if host.far is None else bounce(host), interpreted=not JIT)
