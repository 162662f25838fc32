"""Functions compiled apart: called through a pointer, instead of being compiled again into every caller.

Holds   jit_apart(), and the list of all such functions (apart_functions()).
Rule    for what is off the hot path. Numba compiles a callee into each of its callers, and optimises it there once
        more, at every level of a call tree: a step at the bottom is compiled dozens of times. A function compiled apart
        is compiled once; a call of it is a load, an indirect call, and nothing inlined (about 2 ns). Callers know its
        signature, (Words, int64 ...) -> int64, and not its body: a user's own function is called in the same way.
        Each function has a cell that holds its address; compiled callers name the cell by an external symbol, so what
        is cached on disk holds in every process. Until it is compiled, the cell leads to the compiler.
Limits  always returns an int64. The launcher compiles all of them before it forks; a child that met one not compiled
        would compile for itself.
"""

import ctypes
import inspect
from collections.abc import Callable

from emu.arch.jit import JIT, jit

_functions: dict[str, Callable] = {}


def apart_functions() -> list:
    """Every function compiled apart of the modules imported so far, in order of definition: callees before callers.

    Each has compile(). Empty when interpreted.
    """
    return list(_functions.values())


if not JIT:

    def jit_apart(function):
        """Leave `function` as it is: interpreted, there is nothing to keep apart."""
        return function

else:
    from llvmlite import binding, ir
    from numba.core import types
    from numba.core.imputils import lower_builtin
    from numba.core.typing import signature
    from numba.core.typing.templates import AbstractTemplate, infer_global

    from emu.arch.words import WordsType, words_type

    _POINTER = ir.IntType(8).as_pointer()

    class Apart:
        """What jit_apart() makes of a function: Python calls it like the function itself."""

        def __init__(self, function: Callable):
            self.__name__, self.__qualname__ = function.__name__, function.__qualname__
            self.__doc__, self.__module__ = function.__doc__, function.__module__
            self.symbol = f"emu_apart.{function.__module__}.{function.__qualname__}"
            words = len(inspect.signature(function).parameters) - 1
            self.signature = signature(types.int64, words_type, *[types.int64] * words)
            self._dispatcher = jit(function)
            # Numba's own convention: status = f(&result, &exception, segment, words ...).
            self._prototype = ctypes.CFUNCTYPE(
                ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * words)
            self._first_call = self._prototype(self._compile_and_call)
            self._cell = ctypes.cast(self._first_call, ctypes.c_void_p)
            binding.add_symbol(self.symbol, ctypes.addressof(self._cell))
            assert self.symbol not in _functions, f"{self.symbol} is compiled apart twice"
            _functions[self.symbol] = self

        def __call__(self, *arguments):
            return self._dispatcher(*arguments)

        def _compile_and_call(self, *arguments):
            self.compile()
            return self._prototype(self._cell.value)(*arguments)

        def compile(self) -> None:
            """Compile it, or load it from the cache, and let the cell lead to it."""
            self._dispatcher.compile(self.signature.args)
            made = self._dispatcher.overloads[self.signature.args]
            returned = made.signature.return_type
            assert isinstance(returned, types.Integer), f"{self.symbol} returns {returned}, not an int64 on every way"
            self._cell.value = made.library.get_pointer_to_function(made.fndesc.llvm_func_name)

    def jit_apart(function):
        """Compile `function` apart: (Words, int64 ...) -> int64, called by compiled code through its cell."""
        apart = Apart(function)

        class Template(AbstractTemplate):
            """How a caller sees it: by its signature alone."""

            key = apart

            def generic(self, args, kws):
                """The one signature, or None where the arguments are not its own."""
                fits = not kws and len(args) == len(apart.signature.args) and isinstance(args[0], WordsType)
                return apart.signature if fits else None

        infer_global(apart, types.Function(Template))

        @lower_builtin(apart, WordsType, types.VarArg(types.int64))
        def lower(context, builder, sig, args):
            """Load the cell, call what it leads to, pass an exception on."""
            cell = builder.module.globals.get(apart.symbol) or ir.GlobalVariable(builder.module, _POINTER, apart.symbol)
            prototype = context.call_conv.get_function_type(sig.return_type, sig.args)
            callee = builder.bitcast(builder.load(cell), prototype.as_pointer())
            status, result = context.call_conv.call_function(builder, callee, sig.return_type, sig.args, args)
            with builder.if_then(status.is_error, likely=False):
                context.call_conv.return_status_propagate(builder, status)
            return result

        return apart
