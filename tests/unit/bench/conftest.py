"""What the tests of room bench share: a machine to measure on, and sizes."""

import pytest

from emu.arch import JIT
from emu.bench.machine import bench_machine


@pytest.fixture
def machine():
    """A machine of one CPU in private memory; no invariant may break on it."""
    booted = bench_machine("memory.managed_pages=2048")
    yield booted
    booted.check()


@pytest.fixture
def items():
    """How many items a loop moves: more than two of every batch when compiled, more than one when interpreted."""
    return 6000 if JIT else 700
