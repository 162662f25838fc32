"""System calls from compiled code: sleep and wake on a word, yield, leave, order other cores.

Holds   futex_wait, futex_wake, sched_yield, membarrier, exit_now.
Rule    a futex is the low half of an int64 word; wakers skip the call when nobody sleeps, so every wait
        is `check, announce, check again, futex_wait(value seen)`. No error is reported: every
        caller looks at its condition again, and a call that fails is a wake-up for nothing.
Limits  little-endian 64-bit Linux on x86-64 and arm64.
After   futex(2), membarrier(2).
"""

import ctypes
import errno
import os
import platform
import sys

from emu.arch.jit import JIT

NO_DEADLINE = -1

_SYSCALLS = {
    "x86_64": {"futex": 202, "membarrier": 324},
    "aarch64": {"futex": 98, "membarrier": 283},
}
assert sys.byteorder == "little", "a futex is the low half of a word: little-endian hosts only"
SYS_FUTEX = _SYSCALLS[platform.machine()]["futex"]
SYS_MEMBARRIER = _SYSCALLS[platform.machine()]["membarrier"]

_FUTEX_WAKE = 1
_FUTEX_WAIT_BITSET = 9  # absolute CLOCK_MONOTONIC deadline; shared between processes
_MATCH_ANY = 0xFFFFFFFF
_LOW = 0xFFFFFFFF

MEMBARRIER_GLOBAL_EXPEDITED = 1 << 1
MEMBARRIER_REGISTER_GLOBAL_EXPEDITED = 1 << 2

_libc = ctypes.CDLL(None, use_errno=True)


class _Timespec(ctypes.Structure):
    _fields_ = [("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long)]


def futex_wait(seg, i, expected, deadline_ns):
    """Sleep while the low half of word i equals `expected`, at most until the monotonic `deadline_ns`.

    deadline_ns NO_DEADLINE: no limit. Returns for any reason: the caller looks at its condition again.
    """
    spec = None
    if deadline_ns >= 0:
        spec = ctypes.byref(_Timespec(deadline_ns // 1_000_000_000, deadline_ns % 1_000_000_000))
    _libc.syscall(
        ctypes.c_long(SYS_FUTEX), ctypes.c_void_p(seg.addr + 8 * i), ctypes.c_long(_FUTEX_WAIT_BITSET),
        ctypes.c_uint(expected & _LOW), spec, None, ctypes.c_uint(_MATCH_ANY),
    )


def futex_wake(seg, i, count):
    """Wake at most `count` sleepers on word i; returns how many woke."""
    return _libc.syscall(
        ctypes.c_long(SYS_FUTEX), ctypes.c_void_p(seg.addr + 8 * i), ctypes.c_long(_FUTEX_WAKE),
        ctypes.c_long(count), None, None, ctypes.c_long(0),
    )


def sched_yield():
    """Let another runnable process of this core run, if the scheduling class allows it."""
    os.sched_yield()


def membarrier():
    """A full fence on every core that runs a registered process: lets the other side's fast path go without."""
    _libc.syscall(ctypes.c_long(SYS_MEMBARRIER), ctypes.c_long(MEMBARRIER_GLOBAL_EXPEDITED), 0, 0)


def exit_now(status):
    """End this process at once, with no clean-up of its own: the segment holds all that matters."""
    os._exit(status)


def register_membarrier() -> bool:
    """Make this process (and those it forks) a target of membarrier(); False where the host has none."""
    done = _libc.syscall(ctypes.c_long(SYS_MEMBARRIER), ctypes.c_long(MEMBARRIER_REGISTER_GLOBAL_EXPEDITED), 0, 0)
    return done == 0


def membarrier_error() -> str:
    """The last membarrier failure in words, for the host record."""
    return errno.errorcode.get(ctypes.get_errno(), "none")


if JIT:
    from llvmlite import ir
    from numba.core import cgutils, types
    from numba.extending import intrinsic, overload

    from emu.arch.words import WordsType

    _WORD = ir.IntType(64)
    _INT = ir.IntType(32)
    _TIMESPEC = ir.LiteralStructType([_WORD, _WORD])

    def _syscall(builder, *args):
        fnty = ir.FunctionType(_WORD, [_WORD] * 7)
        fn = cgutils.get_or_insert_function(builder.module, fnty, "syscall")
        padded = list(args) + [ir.Constant(_WORD, 0)] * (7 - len(args))
        return builder.call(fn, padded)

    def _const(value):
        return ir.Constant(_WORD, value)

    def _address(builder, args):
        return builder.ptrtoint(builder.gep(args[0], [args[1]]), _WORD)

    @intrinsic
    def _futex_wait(typingctx, seg, i, expected, deadline_ns):
        def codegen(context, builder, sig, args):
            spec = cgutils.alloca_once(builder, _TIMESPEC)
            billion = _const(1_000_000_000)
            zero, one = ir.Constant(_INT, 0), ir.Constant(_INT, 1)
            builder.store(builder.sdiv(args[3], billion), builder.gep(spec, [zero, zero]))
            builder.store(builder.srem(args[3], billion), builder.gep(spec, [zero, one]))
            limited = builder.icmp_signed(">=", args[3], _const(0))
            timeout = builder.select(limited, builder.ptrtoint(spec, _WORD), _const(0))
            low = builder.and_(args[2], _const(_LOW))
            _syscall(builder, _const(SYS_FUTEX), _address(builder, args), _const(_FUTEX_WAIT_BITSET), low,
                     timeout, _const(0), _const(_MATCH_ANY))
            return context.get_dummy_value()

        return types.void(seg, types.int64, types.int64, types.int64), codegen

    @intrinsic
    def _futex_wake(typingctx, seg, i, count):
        def codegen(context, builder, sig, args):
            return _syscall(builder, _const(SYS_FUTEX), _address(builder, args), _const(_FUTEX_WAKE), args[2])

        return types.int64(seg, types.int64, types.int64), codegen

    @intrinsic
    def _membarrier(typingctx):
        def codegen(context, builder, sig, args):
            _syscall(builder, _const(SYS_MEMBARRIER), _const(MEMBARRIER_GLOBAL_EXPEDITED))
            return context.get_dummy_value()

        return types.void(), codegen

    @intrinsic
    def _sched_yield(typingctx):
        def codegen(context, builder, sig, args):
            fn = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_INT, []), "sched_yield")
            builder.call(fn, [])
            return context.get_dummy_value()

        return types.void(), codegen

    @intrinsic
    def _exit_now(typingctx, status):
        def codegen(context, builder, sig, args):
            fnty = ir.FunctionType(ir.VoidType(), [_INT])
            fn = cgutils.get_or_insert_function(builder.module, fnty, "_exit")
            builder.call(fn, [builder.trunc(args[0], _INT)])
            return context.get_dummy_value()

        return types.void(types.int64), codegen

    @overload(futex_wait)
    def _typed_futex_wait(seg, i, expected, deadline_ns):
        if isinstance(seg, WordsType):
            return lambda seg, i, expected, deadline_ns: _futex_wait(seg, i, expected, deadline_ns)

    @overload(futex_wake)
    def _typed_futex_wake(seg, i, count):
        if isinstance(seg, WordsType):
            return lambda seg, i, count: _futex_wake(seg, i, count)

    @overload(membarrier)
    def _typed_membarrier():
        return lambda: _membarrier()

    @overload(sched_yield)
    def _typed_sched_yield():
        return lambda: _sched_yield()

    @overload(exit_now)
    def _typed_exit_now(status):
        return lambda status: _exit_now(status)
