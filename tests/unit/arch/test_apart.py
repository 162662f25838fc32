"""Functions compiled apart behave as the functions they are made of, from Python and from compiled code."""

import inspect

import pytest

from emu.arch import Hook, apart_functions, jit, jit_apart, private_words
from emu.arch.jit import JIT


@jit_apart
def add_and_count(seg, a, b):
    """a + b; counts its calls in word 0."""
    if a < 0:
        raise ValueError
    seg[0] += 1
    return a + b


@jit
def call_it(seg, n):
    """The sum over n calls."""
    total = 0
    for i in range(n):
        total += add_and_count(seg, i, 10)
    return total


@jit_apart
def calls_apart(seg, a):
    """An apart function that calls another one."""
    return 2 * add_and_count(seg, a, 0)


chosen = Hook("tests.chosen", 1)


@jit
def call_hook(seg, a):
    """What is bound, from compiled code."""
    return chosen(seg, a)


@jit_apart
def doubled(seg, a):
    """2a."""
    return 2 * a


@jit_apart
def negated(seg, a):
    """-a."""
    return -a


@pytest.fixture
def words():
    return private_words(16)


def test_call_from_compiled_code_and_from_python_are_the_same(words):
    assert call_it(words, 3) == 33
    assert add_and_count(words, 1, 2) == 3
    assert words[0] == 4


def test_one_may_call_another(words):
    assert calls_apart(words, 21) == 42


def test_exception_comes_back_to_the_caller(words):
    with pytest.raises(ValueError):
        calls_apart(words, -1)


def test_hook_calls_what_is_bound_last(words):
    chosen.bind(doubled)
    assert (call_hook(words, 4), chosen(words, 4)) == (8, 8)
    chosen.bind(negated)
    assert (call_hook(words, 4), chosen(words, 4)) == (-4, -4)


def test_hook_refuses_other_parameters():
    with pytest.raises(AssertionError, match="parameters"):
        chosen.bind(add_and_count)


def test_hook_that_nobody_filled_says_so(words):
    with pytest.raises(AssertionError, match="nothing is bound to tests.empty"):
        Hook("tests.empty", 1)(words, 1)


@pytest.mark.jit_only
def test_list_holds_what_is_defined_and_leads_to_compiled_code():
    mine = [each for each in apart_functions() if getattr(each, "__module__", "") == __name__]
    assert [each.__name__ for each in mine] == ["add_and_count", "calls_apart", "doubled", "negated"]
    mine[0].compile()
    code = mine[0].cell.value
    mine[0].compile()
    assert mine[0].cell.value == code


@pytest.mark.jit_only
def test_function_that_returns_nothing_is_refused():
    @jit_apart
    def returns_nothing(seg, a):
        seg[0] = a

    with pytest.raises(AssertionError, match="returns none"):
        returns_nothing.compile()


@pytest.mark.skipif(JIT, reason="compiled")
def test_interpreted_it_is_the_function_itself():
    assert inspect.isfunction(add_and_count)
