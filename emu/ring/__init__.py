"""Rings and stacks of words and page numbers: the lock-free ways from one process to another.

Door of the room. Knows nothing of what the values mean; every structure stands at a word offset that the caller chose.
"""

from emu.ring.mpmc import (
    EMPTY,
    MPMC,
    MPMC_VALUE_MAX,
    mpmc_count,
    mpmc_get,
    mpmc_init,
    mpmc_put,
    mpmc_words_needed,
)
from emu.ring.spsc import (
    SPSC,
    SPSC_EMPTY,
    spsc_count,
    spsc_dequeue,
    spsc_dequeue_bulk,
    spsc_enqueue,
    spsc_enqueue_bulk,
    spsc_init,
    spsc_words_needed,
)
from emu.ring.stack import (
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

__all__ = [
    "EMPTY", "MPMC", "MPMC_VALUE_MAX", "SPSC", "SPSC_EMPTY", "STACK", "mpmc_count", "mpmc_get", "mpmc_init",
    "mpmc_put", "mpmc_words_needed", "spsc_count", "spsc_dequeue", "spsc_dequeue_bulk", "spsc_enqueue",
    "spsc_enqueue_bulk", "spsc_init", "spsc_words_needed", "stack_count", "stack_empty", "stack_init", "stack_pop",
    "stack_pop_many", "stack_push", "stack_push_many", "stack_words_needed",
]
