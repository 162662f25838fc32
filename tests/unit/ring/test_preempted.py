"""An operation interrupted before each of its accesses: preempted there while others work, or stopped for ever.

Exhaustive over the point of one interruption (and of two stopped participants), on the interpreted bodies.
"""

import itertools

import pytest

from emu.arch import JIT, private_words
from emu.ring import (
    EMPTY,
    MPMC,
    SPSC_EMPTY,
    mpmc_count,
    mpmc_get,
    mpmc_init,
    mpmc_put,
    mpmc_words_needed,
    spsc_dequeue,
    spsc_enqueue,
    spsc_init,
    spsc_words_needed,
    stack_count,
    stack_init,
    stack_pop,
    stack_pop_many,
    stack_push,
    stack_push_many,
)

pytestmark = pytest.mark.skipif(JIT, reason="steps the interpreted bodies; run with EMU_JIT=0")

CAPACITY = 3
ENTRIES = 32
MINE, THEIRS = 1000, 2000  # values the interrupted one puts, and the first that others put
POINTS = 60  # more than any operation below has


# --- mpmc ------------------------------------------------------------------------------------------------


def ring_with(count):
    """A ring holding 0 .. count - 1, not at its very first lap."""
    seg = private_words(mpmc_words_needed(CAPACITY, 8))
    mpmc_init(seg, 0, CAPACITY, 8)
    for _ in range(ENTRIES - 2):
        mpmc_put(seg, 0, 1)
        mpmc_get(seg, 0)
    for value in range(count):
        mpmc_put(seg, 0, value)
    return seg


class Others:
    """The rest of the participants: what they put in and got out."""

    def __init__(self, seg):
        self.seg, self.put, self.got = seg, [], []

    def do(self, script):
        for step in script:
            if step == "p":
                if mpmc_put(self.seg, 0, THEIRS + len(self.put)) == 1:
                    self.put.append(THEIRS + len(self.put))
            else:
                self.get()

    def get(self):
        value = mpmc_get(self.seg, 0)
        if value != EMPTY:
            self.got.append(value)
        return value

    def drain(self):
        """Get until the ring says empty as often as threshold and tail may take to agree with it."""
        misses = 0
        while misses < 3:
            misses = misses + 1 if self.get() == EMPTY else 0


SCRIPTS = ["", "g", "p", "pg", "gp", "ggg", "ppp", "gpg", "gggpp", "gggg" + "pg" * ENTRIES, "pg" * (ENTRIES + 1) + "p"]


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("held", range(CAPACITY + 1))
def test_a_preempted_put_loses_and_doubles_nothing(stepper, held, script):
    for k in range(POINTS):
        seg = ring_with(held)
        others = Others(seg)
        reached, done = stepper.interrupt(k, lambda o=others: o.do(script), mpmc_put, seg, 0, MINE)
        others.drain()
        assert sorted(others.got) == sorted([*range(held), *others.put, *([MINE] if done else [])]), f"point {k}"
        assert_as_new(seg)
        if not reached:
            return
    pytest.fail("the operation has more points than POINTS")


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("held", range(CAPACITY + 1))
def test_a_preempted_get_loses_and_doubles_nothing(stepper, held, script):
    for k in range(POINTS):
        seg = ring_with(held)
        others = Others(seg)
        reached, value = stepper.interrupt(k, lambda o=others: o.do(script), mpmc_get, seg, 0)
        others.drain()
        mine = [] if value == EMPTY else [value]
        assert sorted(others.got + mine) == sorted([*range(held), *others.put]), f"point {k}"
        assert_as_new(seg)
        if not reached:
            return
    pytest.fail("the operation has more points than POINTS")


def assert_as_new(seg):
    """The ring is empty and takes exactly its capacity again, in order."""
    assert mpmc_count(seg, 0) == 0
    for _ in range(2):
        assert [mpmc_put(seg, 0, i) for i in range(CAPACITY + 1)] == [1] * CAPACITY + [0]
        assert [mpmc_get(seg, 0) for _ in range(CAPACITY + 1)] == [*range(CAPACITY), EMPTY]


def test_values_never_exceed_the_capacity_with_a_put_preempted(stepper):
    for k in range(POINTS):
        seg = ring_with(CAPACITY - 1)
        others = Others(seg)
        reached, done = stepper.interrupt(k, lambda o=others: o.do("ppp"), mpmc_put, seg, 0, MINE)
        assert len(others.put) + done == 1, f"point {k}"
        if not reached:
            return
    pytest.fail("the operation has more points than POINTS")


@pytest.mark.parametrize("held", range(CAPACITY + 1))
@pytest.mark.parametrize("victims", ["pp", "pg", "gp", "gg"])
def test_two_stopped_for_ever_stop_nobody(stepper, stop, held, victims):
    operations = {"p": (mpmc_put, 0, MINE), "g": (mpmc_get, 0)}
    for first, second in itertools.product(range(16), range(16)):
        seg = ring_with(held)
        promised = 0
        for k, victim in zip((first, second), victims, strict=True):
            function, *args = operations[victim]
            _, result = stepper.interrupt(k, stop, function, seg, *args)
            promised += victim == "p" and result == 1
        others = Others(seg)
        for _ in range(3 * ENTRIES):  # laps beside two entries that nobody will ever clear
            others.do("ppggg")
        assert len(others.put) >= 3 * ENTRIES, f"stopped at {first}, {second}: others could hardly put"
        others.drain()
        extra = sorted(set(others.got) - set(others.put) - set(range(held)))
        assert extra in ([], [MINE]), f"stopped at {first}, {second}"
        assert len(others.got) == len(set(others.got)) + max(0, others.got.count(MINE) - 1)
        assert set(others.put) <= set(others.got), f"stopped at {first}, {second}: a finished put was lost"
        lost = set(range(held)) - set(others.got)
        assert len(lost) <= victims.count("g")
        assert others.got.count(MINE) >= promised - victims.count("g")


LAP = "pg" * (ENTRIES - 1)  # brings others to the entry before the one they were at


@pytest.mark.parametrize(
    "scripts", [("", "", ""), (LAP, "g", ""), (LAP, "gg", "p"), ("gg", "p", "g"), (LAP, "pg", "g")])
@pytest.mark.parametrize("kinds", ["gp", "pg", "gg", "pp"])
def test_two_overlapping_operations_lose_and_double_nothing(stepper, kinds, scripts):
    """The first rests at any point, the second at any point; the first ends, then the second; others work between."""
    operations = {"p": (mpmc_put, MINE), "g": (mpmc_get,)}
    for held, k, m in itertools.product((0, 1), range(14), range(14)):
        seg = ring_with(held)
        others = Others(seg)
        pair = []
        for at, kind, script in zip((k, m), kinds, scripts[:2], strict=True):
            function, *args = operations[kind]
            pair.append(stepper.participant(function, seg, 0, *(value + len(pair) for value in args)))
            pair[-1].run_to(at)
            others.do(script)
        pair[0].finish()
        others.do(scripts[2])
        pair[1].finish()
        others.drain()
        inside = [*range(held), *others.put]
        for i, kind in enumerate(kinds):
            if kind == "p" and pair[i].result == 1:
                inside.append(MINE + i)
            elif kind == "g" and pair[i].result != EMPTY:
                others.got.append(pair[i].result)
        assert sorted(others.got) == sorted(inside), f"held {held}, points {k}, {m}"
        assert_as_new(seg)


def rest_when(participant, reached):
    """Move access by access until reached(); it rests there."""
    for _ in range(POINTS):
        if reached():
            return
        assert not participant.run_to(1), "over before it got there"
    pytest.fail("never got there")


def test_a_finished_put_is_found_behind_a_stopped_one(stepper):
    seg = ring_with(0)
    others, tail = Others(seg), seg[MPMC.tail]
    slow = stepper.participant(mpmc_put, seg, 0, MINE)
    rest_when(slow, lambda: seg[MPMC.tail] == tail + 1)
    others.do("p")
    assert others.get() == THEIRS
    assert slow.finish() == 1
    assert others.get() == MINE
    assert_as_new(seg)


def test_a_mark_made_for_a_later_getter_survives_an_earlier_ones_visit(stepper):
    """Four slow ones meet in one entry, each a lap after the other; the last putter's getter has been and gone."""
    seg = ring_with(1)
    others, h = Others(seg), seg[MPMC.head]
    holder = stepper.participant(mpmc_get, seg, 0)
    rest_when(holder, lambda: seg[MPMC.head] == h + 1)  # its value stays in the entry
    others.do("pg" * (ENTRIES - 1) + "p")  # the last put is driven off the entry
    second = stepper.participant(mpmc_get, seg, 0)
    rest_when(second, lambda: seg[MPMC.head] == h + ENTRIES + 1)
    others.do("g" + "pg" * (ENTRIES - 2))
    putter = stepper.participant(mpmc_put, seg, 0, MINE)
    rest_when(putter, lambda: seg[MPMC.tail] == h + 2 * ENTRIES + 1)
    assert others.get() == EMPTY  # the putter's getter: marks the entry and goes
    assert holder.finish() == 0
    assert second.finish() == EMPTY
    assert putter.finish() == 1
    assert others.get() == MINE
    assert_as_new(seg)


# --- spsc ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("publish_every", [1, 2])
@pytest.mark.parametrize("held", range(5))
def test_spsc_ends_interrupt_each_other_without_loss(stepper, held, publish_every):
    for consumer_first, k, steps in itertools.product((True, False), range(10), range(4)):
        seg = private_words(spsc_words_needed(4))
        spsc_init(seg, 0, 4, publish_every)
        sent = [value for value in range(held) if spsc_enqueue(seg, 0, value)]
        got = []

        def produce(seg=seg, sent=sent):
            if spsc_enqueue(seg, 0, 100 + len(sent)):
                sent.append(100 + len(sent))

        def consume(seg=seg, got=got):
            value = spsc_dequeue(seg, 0)
            if value != SPSC_EMPTY:
                got.append(value)

        outer, inner = (consume, produce) if consumer_first else (produce, consume)
        stepper.interrupt(k, lambda i=inner, n=steps: [i() for _ in range(n)], outer)
        for _ in range(6):
            consume()
        assert got == sent


# --- stack -----------------------------------------------------------------------------------------------

HEAD, LINKS, STRIDE, NODES, LIST = 0, 16, 1, 10, 40


def stack_of(count):
    seg = private_words(128)
    stack_init(seg, HEAD)
    for node in range(count):
        stack_push(seg, HEAD, LINKS, STRIDE, node)
    return seg


def pop_all(seg):
    nodes = []
    while (node := stack_pop(seg, HEAD, LINKS, STRIDE)) != EMPTY:
        nodes.append(node)
    return nodes


def churn(seg, script):
    """Others at work: g pops into a hand and scribbles on the link, p pushes the newest of the hand, o the oldest."""
    hand = [9]
    for step in script:
        if step == "g":
            node = stack_pop(seg, HEAD, LINKS, STRIDE)
            if node != EMPTY:
                seg[LINKS + node * STRIDE] = -1  # would crash or mislead whoever followed it
                hand.append(node)
        elif hand:
            stack_push(seg, HEAD, LINKS, STRIDE, hand.pop(-1 if step == "p" else 0))
    return hand


def do_push(seg):
    stack_push(seg, HEAD, LINKS, STRIDE, 8)
    return []


def do_pop(seg):
    node = stack_pop(seg, HEAD, LINKS, STRIDE)
    return [] if node == EMPTY else [node]


def do_push_many(seg):
    seg[LIST], seg[LIST + 1], seg[LIST + 2] = 6, 7, 8
    stack_push_many(seg, HEAD, LINKS, STRIDE, LIST, 3)
    return []


def do_pop_many(seg):
    came = stack_pop_many(seg, HEAD, LINKS, STRIDE, LIST, 3)
    return [seg[LIST + i] for i in range(came)]


STACK_SCRIPTS = ["", "g", "p", "gp", "ggp", "ggo", "ggpp", "ggoo", "gggopo", "pppg", "ggggg"]
OWN = {do_push: [8], do_pop: [], do_push_many: [6, 7, 8], do_pop_many: []}


@pytest.mark.parametrize("script", STACK_SCRIPTS)
@pytest.mark.parametrize("held", range(5))
@pytest.mark.parametrize("operation", OWN)
def test_a_preempted_stack_operation_loses_and_doubles_nothing(stepper, operation, held, script):
    for k in range(POINTS):
        seg, hand = stack_of(held), []
        reached, mine = stepper.interrupt(
            k, lambda s=seg, h=hand: h.extend(churn(s, script)), operation, seg)
        depth = stack_count(seg, HEAD, LINKS, STRIDE)
        there = pop_all(seg)
        assert depth == len(there), f"point {k}"
        everything = [*range(held), *OWN[operation], *([9] if reached else [])]
        assert sorted(there + mine + hand) == sorted(everything), f"point {k}"
        if not reached:
            return
    pytest.fail("the operation has more points than POINTS")


@pytest.mark.parametrize("held", range(4))
@pytest.mark.parametrize("operation", OWN)
def test_a_stopped_stack_operation_stops_nobody(stepper, stop, operation, held):
    for k in range(POINTS):
        seg = stack_of(held)
        reached, _ = stepper.interrupt(k, stop, operation, seg)
        hand = churn(seg, "ggpo" * 4)
        depth = stack_count(seg, HEAD, LINKS, STRIDE)
        there = pop_all(seg)
        assert depth == len(there)
        assert len(set(there + hand)) == len(there + hand)
        if reached:  # before its swap nothing has happened, and each point lies before it
            assert sorted(there + hand) == [*range(held), 9]
        else:
            return
    pytest.fail("the operation has more points than POINTS")


@pytest.mark.parametrize("script", STACK_SCRIPTS)
def test_a_preempted_count_is_a_depth_the_stack_had(stepper, script):
    for k in range(POINTS):
        seg = stack_of(3)
        hand = []
        reached, depth = stepper.interrupt(
            k, lambda s=seg, h=hand: h.extend(churn(s, script)), stack_count, seg, HEAD, LINKS, STRIDE)
        assert depth in (3, len(pop_all(seg))), f"point {k}"
        if not reached:
            return
    pytest.fail("the operation has more points than POINTS")
