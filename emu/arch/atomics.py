"""The closed list of ordered operations on shared words.

Holds   loads, stores, read-modify-writes, fences and the CPU's spin hint; nothing else in this program
        touches a word that another process may write.
Rule    the order stands in the name. Each operation has a Python body, which is its meaning and is what
        an interleaving explorer steps, and a lowering to the LLVM instruction, which is what cores run.
        Values are int64 and wrap as int64 does. Every read-modify-write returns the value before it.
Limits  indices are word indices and are not checked in compiled code. LLVM's name for relaxed
        ("monotonic") does not leave this file.
After   Linux Documentation/atomic_t.txt and tools/memory-model; mimalloc's atomic.h (order in the name).
"""

import platform

from emu.arch.jit import JIT

_SIGN = 1 << 63
_MASK = (1 << 64) - 1


def wrap64(value):
    """`value` as int64 arithmetic leaves it. Compiled: no instruction, and no assumption that it did not wrap."""
    return ((value + _SIGN) & _MASK) - _SIGN


# --- the Python bodies: what each operation means -------------------------------------------------------


def load_relaxed(seg, i):
    """The word at i, in no order with other accesses; never torn, never cached in a register."""
    return seg[i]


def load_acquire(seg, i):
    """The word at i; later accesses stay after it. Pairs with a release of the same word."""
    return seg[i]


def store_relaxed(seg, i, value):
    """Write the word at i, in no order with other accesses; never torn, never delayed out of a loop."""
    seg[i] = value


def store_release(seg, i, value):
    """Write the word at i; earlier accesses stay before it. Pairs with an acquire of the same word."""
    seg[i] = value


def cmpxchg_relaxed(seg, i, expected, new):
    """If the word at i equals `expected`, write `new`. Atomic; orders nothing else."""
    old = seg[i]
    if old == expected:
        seg[i] = new
    return old


def cmpxchg_acquire(seg, i, expected, new):
    """As cmpxchg_relaxed; later accesses stay after it. What a lock takes."""
    old = seg[i]
    if old == expected:
        seg[i] = new
    return old


def cmpxchg_release(seg, i, expected, new):
    """As cmpxchg_relaxed; earlier accesses stay before a successful one. What a push does."""
    old = seg[i]
    if old == expected:
        seg[i] = new
    return old


def cmpxchg_acq_rel(seg, i, expected, new):
    """As cmpxchg_relaxed; ordered on both sides when it succeeds, an acquire when it fails."""
    old = seg[i]
    if old == expected:
        seg[i] = new
    return old


def xchg_acq_rel(seg, i, value):
    """Write `value`, return what stood there; ordered on both sides."""
    old = seg[i]
    seg[i] = value
    return old


def fetch_add_relaxed(seg, i, value):
    """Add `value`. Atomic; orders nothing else."""
    old = seg[i]
    seg[i] = wrap64(old + value)
    return old


def fetch_add_acq_rel(seg, i, value):
    """Add `value`; ordered on both sides."""
    old = seg[i]
    seg[i] = wrap64(old + value)
    return old


def fetch_or_acq_rel(seg, i, value):
    """Set the bits of `value`; ordered on both sides."""
    old = seg[i]
    seg[i] = old | value
    return old


def fetch_and_acq_rel(seg, i, value):
    """Keep only the bits of `value`; ordered on both sides."""
    old = seg[i]
    seg[i] = old & value
    return old


def smp_mb():
    """Full fence: every access before it is seen before every access after it."""


def smp_mb_after_atomic():
    """Full fence, given that a read-modify-write came just before: free on x86, a real fence elsewhere."""


def barrier():
    """Compiler barrier: no access is moved across it by the compiler. Orders nothing between cores."""


def cpu_relax():
    """Tell the core that this is a wait loop."""


def hide(value):
    """`value`, with the compiler kept from knowing what it equals.

    LLVM otherwise puts an equal loaded value in its place; a compare-and-swap then waits for that load.
    """
    return value


# --- the lowerings --------------------------------------------------------------------------------------

if JIT:
    import llvmlite.binding
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic, overload

    from emu.arch.words import WordsType

    # The inline assembly of hide() and cpu_relax() is parsed when code is generated; without this: abort.
    llvmlite.binding.initialize_native_asmparser()

    _I64 = types.int64
    _X86 = platform.machine() in ("x86_64", "AMD64")

    def _slot(builder, args):
        return builder.gep(args[0], [args[1]])

    def _load(order):
        @intrinsic
        def op(typingctx, seg, i):
            def codegen(context, builder, sig, args):
                return builder.load_atomic(_slot(builder, args), order, 8)

            return _I64(seg, _I64), codegen

        return op

    def _store(order):
        @intrinsic
        def op(typingctx, seg, i, value):
            def codegen(context, builder, sig, args):
                builder.store_atomic(args[2], _slot(builder, args), order, 8)
                return context.get_dummy_value()

            return types.void(seg, _I64, _I64), codegen

        return op

    def _cmpxchg(order, failure):
        @intrinsic
        def op(typingctx, seg, i, expected, new):
            def codegen(context, builder, sig, args):
                pair = builder.cmpxchg(_slot(builder, args), args[2], args[3], order, failure)
                return builder.extract_value(pair, 0)

            return _I64(seg, _I64, _I64, _I64), codegen

        return op

    def _rmw(kind, order):
        @intrinsic
        def op(typingctx, seg, i, operand):
            def codegen(context, builder, sig, args):
                return builder.atomic_rmw(kind, _slot(builder, args), args[2], order)

            return _I64(seg, _I64, _I64), codegen

        return op

    def _fence(scope):
        @intrinsic
        def op(typingctx):
            def codegen(context, builder, sig, args):
                builder.fence("seq_cst", scope)
                return context.get_dummy_value()

            return types.void(), codegen

        return op

    @intrinsic
    def _relax(typingctx):
        def codegen(context, builder, sig, args):
            text = "pause" if _X86 else "yield"
            builder.asm(ir.FunctionType(ir.VoidType(), []), text, "~{memory}", [], True)
            return context.get_dummy_value()

        return types.void(), codegen

    @intrinsic
    def _hide(typingctx, value):
        def codegen(context, builder, sig, args):
            word = ir.IntType(64)
            return builder.asm(ir.FunctionType(word, [word]), "", "=r,0", [args[0]], False)

        return _I64(_I64), codegen

    def _bind0(function, op):
        @overload(function)
        def _typed():
            return lambda: op()

    def _bind1(function, op):
        @overload(function)
        def _typed(value):
            return lambda value: op(value)

    def _bind2(function, op):
        @overload(function)
        def _typed(seg, i):
            if isinstance(seg, WordsType):
                return lambda seg, i: op(seg, i)

    def _bind3(function, op):
        @overload(function)
        def _typed(seg, i, value):
            if isinstance(seg, WordsType):
                return lambda seg, i, value: op(seg, i, value)

    def _bind4(function, op):
        @overload(function)
        def _typed(seg, i, expected, new):
            if isinstance(seg, WordsType):
                return lambda seg, i, expected, new: op(seg, i, expected, new)

    _bind2(load_relaxed, _load("monotonic"))
    _bind2(load_acquire, _load("acquire"))
    _bind3(store_relaxed, _store("monotonic"))
    _bind3(store_release, _store("release"))
    _bind4(cmpxchg_relaxed, _cmpxchg("monotonic", "monotonic"))
    _bind4(cmpxchg_acquire, _cmpxchg("acquire", "acquire"))
    _bind4(cmpxchg_release, _cmpxchg("release", "monotonic"))
    _bind4(cmpxchg_acq_rel, _cmpxchg("acq_rel", "acquire"))
    _bind3(xchg_acq_rel, _rmw("xchg", "acq_rel"))
    _bind3(fetch_add_relaxed, _rmw("add", "monotonic"))
    _bind3(fetch_add_acq_rel, _rmw("add", "acq_rel"))
    _bind3(fetch_or_acq_rel, _rmw("or", "acq_rel"))
    _bind3(fetch_and_acq_rel, _rmw("and", "acq_rel"))
    _bind0(smp_mb, _fence(None))
    _bind0(smp_mb_after_atomic, _fence("singlethread" if _X86 else None))
    _bind0(barrier, _fence("singlethread"))
    _bind0(cpu_relax, _relax)
    _bind1(hide, _hide)

    # Numba marks signed sums as never overflowing, so LLVM would turn `wrap64(a - b) < 0` into `a < b`, which is
    # wrong at the wrap. Hidden, the sum is the wrapped one that the machine computes.
    _bind1(wrap64, _hide)
