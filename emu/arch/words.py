"""Words: the one shared segment, as compiled code and as Python see it.

Holds   a class whose instances index int64 words; a Numba type for it that is a bare pointer.
Rule    `seg[i]` is a plain access: nobody else writes this word now. Every shared word goes through
        `arch.atomics`. There is no bounds check and no negative index in compiled code; interpreted,
        the memoryview checks both.
Why     a Numba array argument is seven values and every access tests for a negative index (measured:
        +0.5 ns on each dependent load); a pointer is one register and one instruction.
"""

import ctypes

from emu.arch.jit import JIT

WORD_BYTES = 8


class Words:
    """A buffer of int64 words. Interpreted code indexes it; compiled code gets its address.

    buffer: anything writable that supports the buffer protocol; its bytes must be a multiple of 8.
    The instance keeps a view of the buffer alive until `release()`.
    """

    __slots__ = ("words", "addr")

    def __init__(self, buffer):
        view = memoryview(buffer).cast("B")
        assert len(view) % WORD_BYTES == 0, f"{len(view)} bytes are not whole words"
        self.words = view.cast("q")
        anchor = ctypes.c_char.from_buffer(view)
        self.addr = ctypes.addressof(anchor)
        del anchor

    def __len__(self):
        return len(self.words)

    def __getitem__(self, i):
        return self.words[i]

    def __setitem__(self, i, value):
        self.words[i] = value

    def release(self) -> None:
        """Drop the view, so that the buffer behind it can be closed. The address is void from now on."""
        self.words.release()
        self.addr = 0


def private_words(count: int) -> Words:
    """`count` zeroed words of this process alone: for tests and benchmarks, aligned to a line."""
    raw = bytearray(count * WORD_BYTES + 128)
    shift = -ctypes.addressof(ctypes.c_char.from_buffer(raw)) % 128
    return Words(memoryview(raw)[shift : shift + count * WORD_BYTES])


if JIT:
    from llvmlite import ir
    from numba.core import cgutils, types
    from numba.core.datamodel import models
    from numba.extending import NativeValue, register_model, typeof_impl, unbox

    class WordsType(types.CPointer):
        """Numba's view of Words: a pointer to int64, so getitem and setitem are one instruction."""

        def __init__(self):
            super().__init__(types.int64)
            self.name = "Words"

        @property
        def key(self):
            return "Words"

    words_type = WordsType()

    @typeof_impl.register(Words)
    def _typeof_words(value, context):
        return words_type

    @register_model(WordsType)
    class _WordsModel(models.PointerModel):
        """A Words value is its address."""

    @unbox(WordsType)
    def _unbox_words(typ, obj, c):
        """Read `obj.addr`; an attribute that is no integer surfaces as the Python error it raised."""
        addr = c.pyapi.object_getattr_string(obj, "addr")
        value = c.pyapi.long_as_longlong(addr)
        c.pyapi.decref(addr)
        pointer = c.builder.inttoptr(value, ir.IntType(64).as_pointer())
        return NativeValue(pointer, is_error=cgutils.is_not_null(c.builder, c.pyapi.err_occurred()))
