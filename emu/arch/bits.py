"""Bit counts that compiled Python has no operator for.

Rule    two bodies, as in atomics: a Python meaning and an LLVM lowering.
"""

from emu.arch.jit import JIT


def fls64(value):
    """Position of the highest set bit, counted from 1; 0 when value is 0. value >= 0."""
    return value.bit_length()


def ctz64(value):
    """Number of zero bits below the lowest set bit. value != 0."""
    return (value & -value).bit_length() - 1


def mul_shift32(value, factor):
    """(value * factor) >> 32 with a 128-bit product; both >= 0."""
    return (value * factor) >> 32


if JIT:
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic, overload

    _WORD = ir.IntType(64)
    _WIDE = ir.IntType(128)

    @intrinsic
    def _fls64(typingctx, value):
        def codegen(context, builder, sig, args):
            zeros = builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))
            return builder.sub(ir.Constant(_WORD, 64), zeros)

        return types.int64(types.int64), codegen

    @intrinsic
    def _ctz64(typingctx, value):
        def codegen(context, builder, sig, args):
            return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

        return types.int64(types.int64), codegen

    @intrinsic
    def _mul_shift32(typingctx, value, factor):
        def codegen(context, builder, sig, args):
            product = builder.mul(builder.zext(args[0], _WIDE), builder.zext(args[1], _WIDE))
            return builder.trunc(builder.lshr(product, ir.Constant(_WIDE, 32)), _WORD)

        return types.int64(types.int64, types.int64), codegen

    @overload(fls64)
    def _typed_fls64(value):
        return lambda value: _fls64(value)

    @overload(ctz64)
    def _typed_ctz64(value):
        return lambda value: _ctz64(value)

    @overload(mul_shift32)
    def _typed_mul_shift32(value, factor):
        return lambda value, factor: _mul_shift32(value, factor)
