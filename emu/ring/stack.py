"""Last in, first out: a strictly lock-free stack of records that own a link word, for lists that the kernel keeps LIFO.

Holds   STACK: one word, head = [tag:32 | node + 1:32], 0 in the low half when empty. The nodes are small numbers (page
        frames); node's link word stands at links + node * stride, and is [depth:32 | next node + 1:32], where depth is
        the number of nodes from this one down to the bottom, itself included.
Rule    one compare-and-swap of head makes each operation happen; every push moves the tag. So while head is unchanged
        the whole chain below it is: a node can leave only by head moving to another node, and come back on top only
        by a push, which moves the tag.
None    is lost or doubled: a pop's new head is right if head was unchanged from its load to its compare-and-swap,
        which is what the compare-and-swap establishes. What a slow operation reads from a link word of a node that
        left meanwhile may be anything, its owner may write what it likes there; but then head has changed, the
        compare-and-swap fails, and the rubbish is thrown away. Rubbish is never followed: stack_pop_many() looks at
        head again before it goes one node further.
Depth   the same holds for the depth a push reads from the top node's link: a stale one dies with the attempt. So the
        depth in the top link is the exact count, and no second word has to be kept in step with head.
Strict  there is no state between two instructions in which others must wait: a participant stopped for ever has
        either moved head or not. A lost compare-and-swap means that another one's succeeded.
ABA     the tag has 32 bits: an operation would have to be held up between its load and its compare-and-swap for
        exactly a multiple of 2**32 pushes (more than a minute of doing nothing but that) with the same node on top.
        The tag wraps within the word; nothing compares tags by size.
Limits  nodes 0 .. 2**32 - 2; link words stay mapped and in place (type-stable); a node is in one stack at a time.
After   R. Kent Treiber, "Systems Programming: Coping with Parallelism" (1986), with IBM's tag.
"""

from emu.arch import (
    cmpxchg_acquire,
    cmpxchg_release,
    cpu_relax,
    jit,
    load_acquire,
    load_relaxed,
    store_relaxed,
    wrap64,
)
from emu.ring.mpmc import EMPTY, PAUSES
from emu.shm import line, struct

_LOW = (1 << 32) - 1
_TAG = 1 << 32  # one step of the tag

STACK = struct("stack", line("anyone, by cmpxchg", "head"))


def stack_words_needed(capacity: int = 0) -> int:
    """Words of a stack: its head's line. The links are the nodes' own, so the capacity does not matter."""
    return STACK.SIZE


def stack_init(seg, head: int, tag: int = 0) -> None:
    """Make an empty stack with its head at word `head`, before anybody uses it. tag: for tests near the wrap."""
    seg[head] = wrap64(tag << 32)


@jit
def stack_push(seg, head, links, stride, node):
    """Put `node`, which the caller owns, on top. Anyone, beside anything. Lock-free. REL stack.node."""
    mine = links + node * stride
    old = load_acquire(seg, head)  # ACQ stack.node: head before the top's link, for its depth. Pairs with REL below.
    while True:
        depth = _depth_below(seg, old, links, stride)
        # Relaxed: a popper of an earlier life of this node may read it just now, and will discard it.
        store_relaxed(seg, mine, wrap64((depth + 1) << 32) | (old & _LOW))
        new = wrap64(old + _TAG) & ~_LOW | (node + 1)
        # REL stack.node: the node's words and its link before head. Pairs with ACQ in stack_pop().
        seen = cmpxchg_release(seg, head, old, new)
        if seen == old:
            return
        old = _again(seg, head)


@jit
def stack_pop(seg, head, links, stride):
    """The node on top, now the caller's, or EMPTY. Anyone, beside anything. Lock-free. ACQ stack.node."""
    old = load_acquire(seg, head)  # ACQ stack.node: head before link. Pairs with REL in stack_push().
    while True:
        top = old & _LOW
        if top == 0:
            return EMPTY
        below = load_relaxed(seg, links + (top - 1) * stride)
        # ACQ stack.node: head before the node's words. Pairs with REL in stack_push().
        seen = cmpxchg_acquire(seg, head, old, (old & ~_LOW) | (below & _LOW))
        if seen == old:
            return top - 1
        old = _again(seg, head)


@jit
def stack_push_many(seg, head, links, stride, src, n):
    """Push the n nodes listed at src on, as if one after another: the last ends on top. One successful swap.

    Anyone, beside anything; src is private. Lock-free. The depths of the chain depend on what is below it, so
    they are written again only when an attempt was lost and the depth below has changed. REL stack.node.
    """
    if n <= 0:
        return
    old = load_acquire(seg, head)  # ACQ stack.node: as in stack_push()
    linked_depth = -1
    while True:
        depth = _depth_below(seg, old, links, stride)
        store_relaxed(seg, links + seg[src] * stride, wrap64((depth + 1) << 32) | (old & _LOW))
        if depth != linked_depth:
            for i in range(1, n):
                word = wrap64((depth + 1 + i) << 32) | (seg[src + i - 1] + 1)
                store_relaxed(seg, links + seg[src + i] * stride, word)
            linked_depth = depth
        new = wrap64(old + _TAG) & ~_LOW | (seg[src + n - 1] + 1)
        # REL stack.node: all nodes' words and links before head. Pairs with ACQ in stack_pop().
        seen = cmpxchg_release(seg, head, old, new)
        if seen == old:
            return
        old = _again(seg, head)


@jit
def stack_pop_many(seg, head, links, stride, dst, n):
    """Take up to n nodes from the top at one moment, list them at dst on, top first; returns how many.

    Anyone, beside anything; dst is private. Lock-free. ACQ stack.node.
    """
    old = load_acquire(seg, head)  # ACQ stack.node: head before links. Pairs with REL in stack_push_many().
    while True:
        taken = 0
        top = old & _LOW
        seen = old
        while top != 0 and taken < n and seen == old:
            seg[dst + taken] = top - 1
            taken += 1
            # ACQ stack.node: link before head. Head unchanged then: the link was a link, and may be followed.
            top = load_acquire(seg, links + (top - 1) * stride) & _LOW
            seen = load_relaxed(seg, head)
        if seen == old:
            if taken == 0:
                return 0
            # ACQ stack.node: head before the nodes' words. Pairs with REL in stack_push().
            seen = cmpxchg_acquire(seg, head, old, (old & ~_LOW) | top)
            if seen == old:
                return taken
        old = _again(seg, head)


@jit
def stack_count(seg, head, links, stride):
    """Nodes on the stack: exact at one moment during the call. Anyone. Lock-free.

    Read again only if head changed between the two looks at it, as the link may then be anything.
    """
    old = load_acquire(seg, head)  # ACQ stack.node: head before the top's link. Pairs with REL in stack_push().
    while True:
        if old & _LOW == 0:
            return 0
        # ACQ stack.node: link before the second look at head, as in stack_pop_many()
        depth = (load_acquire(seg, links + ((old & _LOW) - 1) * stride) >> 32) & _LOW
        seen = load_relaxed(seg, head)
        if seen == old:
            return depth
        old = _again(seg, head)


@jit
def stack_empty(seg, head):
    """Whether nothing is on the stack at this moment. Anyone. Wait-free."""
    return load_relaxed(seg, head) & _LOW == 0


@jit
def _depth_below(seg, old, links, stride):
    """Depth of the node on top of head word `old`; anything, if head has changed since (the swap then fails)."""
    if old & _LOW == 0:
        return 0
    return (load_relaxed(seg, links + ((old & _LOW) - 1) * stride) >> 32) & _LOW


@jit
def _again(seg, head):
    """After a lost compare-and-swap: stay off the line for a while, then look at head anew."""
    for _ in range(PAUSES):
        cpu_relax()
    return load_acquire(seg, head)  # ACQ stack.node: as in stack_pop()
