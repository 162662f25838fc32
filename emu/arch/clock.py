"""Time from compiled code: the monotonic clock, and the cycle counter it can be calibrated against.

Holds   monotonic_ns() (about 22 ns a call), cycles() (about 9 ns), and their calibration.
Rule    every process of a run reads the same clock. The cycle counter is used only where the host says
        that it is invariant and itself keeps time by it; anything else is CLOCK_MONOTONIC.
Limits  the cycle counter is CNTVCT on arm64, RDTSC on x86. Never serialised: a serialising CPUID traps
        in a guest.
"""

import platform
import time
from pathlib import Path

from emu.arch.jit import JIT, jit


def monotonic_ns():
    """CLOCK_MONOTONIC in nanoseconds."""
    return time.monotonic_ns()


def cycles():
    """The core's cycle (x86) or generic timer (arm64) counter; interpreted: the monotonic clock."""
    return time.monotonic_ns()


if JIT:
    from llvmlite import ir
    from numba.core import cgutils, types
    from numba.extending import intrinsic, overload

    _WORD = ir.IntType(64)
    _INT = ir.IntType(32)
    _CLOCK_MONOTONIC = 1
    _ARM = platform.machine() in ("aarch64", "arm64")

    @intrinsic
    def _monotonic_ns(typingctx):
        def codegen(context, builder, sig, args):
            timespec = ir.LiteralStructType([_WORD, _WORD])
            spec = cgutils.alloca_once(builder, timespec)
            fnty = ir.FunctionType(_INT, [_INT, timespec.as_pointer()])
            fn = cgutils.get_or_insert_function(builder.module, fnty, "clock_gettime")
            builder.call(fn, [ir.Constant(_INT, _CLOCK_MONOTONIC), spec])
            zero, one = ir.Constant(_INT, 0), ir.Constant(_INT, 1)
            seconds = builder.load(builder.gep(spec, [zero, zero]))
            nanos = builder.load(builder.gep(spec, [zero, one]))
            return builder.add(builder.mul(seconds, ir.Constant(_WORD, 1_000_000_000)), nanos)

        return types.int64(), codegen

    @intrinsic
    def _cycles(typingctx):
        def codegen(context, builder, sig, args):
            if _ARM:
                return builder.asm(ir.FunctionType(_WORD, []), "mrs $0, cntvct_el0", "=r", [], True)
            fnty = ir.FunctionType(_WORD, [])
            fn = cgutils.get_or_insert_function(builder.module, fnty, "llvm.readcyclecounter")
            return builder.call(fn, [])

        return types.int64(), codegen

    @overload(monotonic_ns)
    def _typed_monotonic_ns():
        return lambda: _monotonic_ns()

    @overload(cycles)
    def _typed_cycles():
        return lambda: _cycles()


@jit
def sample_pair(tries):
    """A monotonic reading and the cycle count at its middle: (ns, cycles), from the tightest of `tries`."""
    best_gap = 1 << 62
    best_ns = 0
    best_cycles = 0
    for _ in range(tries):
        before = cycles()
        ns = monotonic_ns()
        after = cycles()
        if after - before < best_gap:
            best_gap = after - before
            best_ns = ns
            best_cycles = before + ((after - before) >> 1)
    return best_ns, best_cycles


def invariant_counter() -> bool:
    """True where the kernel itself keeps time by the counter and its rate does not change with power states."""
    try:
        source = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource").read_text().strip()
        if source == "arch_sys_counter":
            return True
        flags = Path("/proc/cpuinfo").read_text().split("\nflags", 1)[1].split("\n", 1)[0]
    except (OSError, IndexError):
        return False
    return source == "tsc" and "constant_tsc" in flags and "nonstop_tsc" in flags
