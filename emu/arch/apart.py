"""Functions compiled apart: called through a pointer, instead of being compiled again into every caller.

Holds   jit_apart(), the list of all such functions (apart_functions()), and Hook: a place for one of them that a room
        further right fills.
Rule    for what is off the hot path. Numba compiles a callee into each of its callers, and optimises it there once
        more, at every level of a call tree: a step at the bottom is compiled dozens of times. A function compiled apart
        is compiled once; a call of it is a load, an indirect call, and nothing inlined (about 2 ns). Callers know its
        signature, (Words, int64 ...) -> int64, and not its body: a user's own function is called in the same way.
        Each function has a cell that holds its address; compiled callers name the cell by an external symbol, so what
        is cached on disk holds in every process. Until it is compiled, the cell leads to the compiler.
Limits  always returns an int64. The launcher compiles what a run can meet before it forks; a child that meets one not
        compiled compiles for itself, which late_compilations() tells.
"""

import ctypes
import inspect
import mmap
import os
import traceback
from collections.abc import Callable

from emu.arch.jit import JIT, jit

EXIT_NOT_COMPILED = 70

_functions: dict[str, Callable] = {}
_late = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")  # shared with children; a lost count is as good as one


def late_compilations() -> int:
    """How often compiled code met a function that was not compiled, in this process and those forked from it."""
    return _late[0]


def apart_functions() -> list:
    """Every function compiled apart of the modules imported so far, in order of definition: callees before callers.

    Each has compile(). Empty when interpreted.
    """
    return list(_functions.values())


if not JIT:

    def jit_apart(function):
        """Leave `function` as it is: interpreted, there is nothing to keep apart."""
        return function

    class Hook:
        """A function that is called here and defined further right: hook = Hook("name", words); hook.bind(function)."""

        def __init__(self, name: str, words: int):
            self.__name__, self.words = name, words
            self._function: Callable | None = None

        def bind(self, function: Callable):
            """Let calls go to `function` of (seg, `words` int64 values). Again: to another one. Returns it."""
            assert len(inspect.signature(function).parameters) == self.words + 1, f"{self.__name__}: wrong parameters"
            self._function = function
            return function

        def __call__(self, *arguments):
            assert self._function is not None, f"nothing is bound to {self.__name__}"
            return self._function(*arguments)

else:
    from llvmlite import binding, ir
    from numba.core import types
    from numba.core.imputils import lower_builtin
    from numba.core.typing import signature
    from numba.core.typing.templates import AbstractTemplate, infer_global

    from emu.arch.words import WordsType, words_type

    _POINTER = ir.IntType(8).as_pointer()

    class _Cell:
        """A word that holds the address of code; compiled callers find it by its symbol."""

        def __init__(self, name: str, symbol: str, words: int):
            self.__name__, self.symbol, self.module = name, symbol, ""
            self.signature = signature(types.int64, words_type, *[types.int64] * words)
            # Numba's own convention: status = f(&result, &exception, segment, words ...).
            self._prototype = ctypes.CFUNCTYPE(
                ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * words)
            self._first_call = self._prototype(self._compile_and_call)
            self.cell = ctypes.cast(self._first_call, ctypes.c_void_p)
            binding.add_symbol(symbol, ctypes.addressof(self.cell))
            _teach_callers(self)

        def _compile_and_call(self, *arguments):
            _late[0] += 1
            if "EMU_DEBUG" in os.environ:
                os.write(2, f"emu: compiled late: {self.symbol}\n".encode())
            try:
                self.compile()
            except BaseException:  # compiled code called: there is no way to raise this in it
                traceback.print_exc()
                os._exit(EXIT_NOT_COMPILED)
            return self._prototype(self.cell.value)(*arguments)

        def compile(self) -> None:
            """Let the cell lead to compiled code."""
            raise NotImplementedError

    class Apart(_Cell):
        """What jit_apart() makes of a function: Python calls it like the function itself."""

        def __init__(self, function: Callable):
            symbol = f"emu_apart.{function.__module__}.{function.__qualname__}"
            super().__init__(function.__name__, symbol, len(inspect.signature(function).parameters) - 1)
            self.__qualname__, self.__doc__, self.__module__ = (
                function.__qualname__, function.__doc__, function.__module__)
            self.module = function.__module__
            self._dispatcher = jit(function)
            assert symbol not in _functions, f"{symbol} is compiled apart twice"
            _functions[symbol] = self

        def __call__(self, *arguments):
            return self._dispatcher(*arguments)

        def compile(self) -> None:
            """Compile it, or load it from the cache, and let the cell lead to it."""
            self._dispatcher.compile(self.signature.args)
            made = self._dispatcher.overloads[self.signature.args]
            returned = made.signature.return_type
            assert isinstance(returned, types.Integer), f"{self.symbol} returns {returned}, not an int64 on every way"
            self.cell.value = made.library.get_pointer_to_function(made.fndesc.llvm_func_name)

    class Hook(_Cell):  # type: ignore[no-redef]
        """A function that is called here and defined further right: hook = Hook("name", words); hook.bind(function)."""

        def __init__(self, name: str, words: int):
            super().__init__(name, f"emu_hook.{name}", words)
            assert self.symbol not in _functions, f"hook {name} is made twice"
            self._function: Apart | None = None
            _functions[self.symbol] = self

        def bind(self, function: "Apart") -> "Apart":
            """Let calls go to `function` of (seg, `words` int64 values). Again: to another one. Returns it."""
            assert function.signature == self.signature, f"{self.__name__}: {function.__name__} has other parameters"
            self._function, self.module = function, function.module
            self.cell.value = ctypes.cast(self._first_call, ctypes.c_void_p).value
            return function

        def __call__(self, *arguments):
            assert self._function is not None, f"nothing is bound to {self.__name__}"
            return self._function(*arguments)

        def compile(self) -> None:
            """Compile what is bound. A hook that nobody filled is left to the call that meets it."""
            if self._function is not None:
                self._function.compile()
                self.cell.value = self._function.cell.value

    def jit_apart(function):
        """Compile `function` apart: (Words, int64 ...) -> int64, called by compiled code through its cell."""
        return Apart(function)

    def _teach_callers(cell: _Cell) -> None:
        """Tell Numba how compiled code calls what a cell leads to."""

        class Template(AbstractTemplate):
            """How a caller sees it: by its signature alone."""

            key = cell

            def generic(self, args, kws):
                """The one signature, or None where the arguments are not its own."""
                fits = not kws and len(args) == len(cell.signature.args) and isinstance(args[0], WordsType)
                return cell.signature if fits else None

        infer_global(cell, types.Function(Template))

        @lower_builtin(cell, WordsType, types.VarArg(types.int64))
        def lower(context, builder, sig, args):
            """Load the cell, call what it leads to, pass an exception on."""
            word = builder.module.globals.get(cell.symbol) or ir.GlobalVariable(builder.module, _POINTER, cell.symbol)
            prototype = context.call_conv.get_function_type(sig.return_type, sig.args)
            callee = builder.bitcast(builder.load(word), prototype.as_pointer())
            status, result = context.call_conv.call_function(builder, callee, sig.return_type, sig.args, args)
            with builder.if_then(status.is_error, likely=False):
                context.call_conv.return_status_propagate(builder, status)
            return result
