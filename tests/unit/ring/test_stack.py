"""The stack, one participant at a time: order, exact count, many at once, the wrap of the tag."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.arch import private_words
from emu.ring import (
    EMPTY,
    STACK,
    stack_count,
    stack_empty,
    stack_init,
    stack_pop,
    stack_pop_many,
    stack_push,
    stack_push_many,
    stack_words_needed,
)

HEAD = 16
NODES = 24
STRIDE = 3
LINKS = 33  # not aligned: links live where the records want them
LIST = LINKS + NODES * STRIDE
TAGS = [0, (1 << 31) - 2, (1 << 32) - 2]


def make(tag=0):
    seg = private_words(LIST + 2 * NODES)
    stack_init(seg, HEAD, tag)
    return seg


def push(seg, node):
    stack_push(seg, HEAD, LINKS, STRIDE, node)


def pop(seg):
    return stack_pop(seg, HEAD, LINKS, STRIDE)


def push_many(seg, nodes):
    for i, node in enumerate(nodes):
        seg[LIST + i] = node
    stack_push_many(seg, HEAD, LINKS, STRIDE, LIST, len(nodes))


def pop_many(seg, n):
    came = stack_pop_many(seg, HEAD, LINKS, STRIDE, LIST + NODES, n)
    return [seg[LIST + NODES + i] for i in range(came)]


def count(seg):
    return stack_count(seg, HEAD, LINKS, STRIDE)


@pytest.mark.parametrize("tag", TAGS)
def test_last_in_is_first_out(tag):
    seg = make(tag)
    for node in (0, 7, 3):
        push(seg, node)
    assert [pop(seg) for _ in range(4)] == [3, 7, 0, EMPTY]


@pytest.mark.parametrize("tag", TAGS)
def test_count_is_the_depth_of_the_top(tag):
    seg = make(tag)
    assert stack_empty(seg, HEAD) and count(seg) == 0
    for node in range(NODES):
        push(seg, node)
        assert count(seg) == node + 1
    assert not stack_empty(seg, HEAD)
    for left in reversed(range(NODES)):
        pop(seg)
        assert count(seg) == left
    assert stack_empty(seg, HEAD)


def test_many_are_pushed_as_if_one_after_another():
    seg = make()
    push(seg, 5)
    push_many(seg, [1, 2, 3])
    assert count(seg) == 4
    push(seg, 9)
    assert count(seg) == 5
    assert [pop(seg) for _ in range(5)] == [9, 3, 2, 1, 5]


def test_many_are_popped_as_if_one_after_another():
    seg = make()
    push_many(seg, [4, 8, 15, 16])
    assert pop_many(seg, 3) == [16, 15, 8]
    assert count(seg) == 1
    assert pop_many(seg, 3) == [4]
    assert pop_many(seg, 3) == []


def test_none_pushed_and_none_popped_change_nothing():
    seg = make()
    push(seg, 2)
    before = seg[HEAD]
    push_many(seg, [])
    assert pop_many(seg, 0) == []
    assert seg[HEAD] == before


def test_link_word_is_the_owners_while_the_node_is_off_the_stack():
    seg = make()
    push(seg, 1)
    push(seg, 2)
    node = pop(seg)
    seg[LINKS + node * STRIDE] = -1
    assert (count(seg), pop(seg), pop(seg)) == (1, 1, EMPTY)


def test_push_moves_the_tag():
    seg = make()
    push(seg, 1)
    before = seg[HEAD]
    push(seg, pop(seg))
    assert seg[HEAD] != before  # the same node on top, and yet a slow pop must fail


def test_only_link_words_and_the_head_are_written():
    seg = make()
    push_many(seg, list(range(NODES)))
    others = [i for i in range(LINKS, LIST) if (i - LINKS) % STRIDE != 0]
    assert all(seg[i] == 0 for i in others)
    assert stack_words_needed(NODES) == STACK.SIZE


@given(
    ops=st.lists(st.tuples(st.sampled_from(["push", "pop", "push_many", "pop_many"]), st.integers(0, 6)), max_size=60),
    tag=st.sampled_from(TAGS),
)
def test_behaves_as_a_list(ops, tag):
    seg, model, free = make(tag), [], list(range(NODES))
    for op, n in ops:
        if op == "push" and free:
            push(seg, free[-1])
            model.append(free.pop())
        elif op == "pop":
            node = pop(seg)
            assert node == (model[-1] if model else EMPTY)
            if model:
                free.append(model.pop())
        elif op == "push_many":
            nodes = [free.pop() for _ in range(min(n, len(free)))]
            push_many(seg, nodes)
            model += nodes
        elif op == "pop_many":
            nodes = pop_many(seg, n)
            assert nodes == [model.pop() for _ in range(min(n, len(model)))]
            free += nodes
        assert count(seg) == len(model)
        assert stack_empty(seg, HEAD) == (not model)
