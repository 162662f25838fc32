"""A second process, pinned to a core of its own choice, that runs the other half of a two-sided loop.

Holds   Partner, the start line meet(), and line_bounce().
Rule    fork after both halves are compiled. Each sample is one command: both sides meet, each runs its half, the
        partner says that it has done. It dies with the bench process, and leaves when told to.
Limits  the halves wait for each other without a limit: a partner killed from outside hangs the bench.
"""

import os
import signal
import time
from collections.abc import Callable

from emu.arch import Words, jit, load_acquire, sched_yield, store_release
from emu.errors import HostError
from emu.host import pin
from emu.launch.children import Child, fork_child, wait_any
from emu.shm import LINE_WORDS

MEET_WORDS = 3 * LINE_WORDS  # mine, the other's, the bounced word: a line each
LEAVE_S = 2.0
SPINS = 1 << 14  # then the core is given away between looks: the other side may share it


@jit
def meet(seg, mine, other, number):
    """Arrive at the start line; returns when the other side is there too."""
    store_release(seg, mine, number)
    spins = 0
    while load_acquire(seg, other) != number:
        spins += 1
        if spins > SPINS:
            sched_yield()
    return number


@jit
def ping(seg, word, n):
    """Send one line n times to the other core and wait for it to come back."""
    for i in range(n):
        store_release(seg, word, 2 * i + 1)
        while load_acquire(seg, word) != 2 * i + 2:
            pass
    return n


@jit
def pong(seg, word, n):
    """Return the line n times."""
    for i in range(n):
        while load_acquire(seg, word) != 2 * i + 1:
            pass
        store_release(seg, word, 2 * i + 2)
    return n


class Partner:
    """Start with the loops it may be asked for; sample() runs one together with our own; stop() once.

    meet_at: first of MEET_WORDS words of `seg`, which both processes see.
    """

    def __init__(self, seg: Words, meet_at: int, core: int, loops: dict[str, Callable[[int], object]]):
        self._seg, self._meet_at, self._met = seg, meet_at, 0
        meet(seg, meet_at, meet_at, 0)  # compiled before the fork
        commands, self._commands = os.pipe()
        self._done, done = os.pipe()

        def work() -> None:
            os.close(self._commands)
            os.close(self._done)
            pin(0, [core])
            with os.fdopen(commands, "rb") as lines:
                for number, line in enumerate(lines, 1):
                    name, n = line.decode().split()
                    meet(seg, meet_at + LINE_WORDS, meet_at, number)
                    loops[name](int(n))
                    os.write(done, b".")

        self._child: Child = fork_child("bench partner", -1, work)
        os.close(commands)
        os.close(done)

    def sample(self, name: str, n: int, ours: Callable[[int], object]) -> int:
        """Run the partner's loop `name` and ours, both with n, at the same time; ns until ours was through."""
        self._met += 1
        os.write(self._commands, f"{name} {n}\n".encode())
        meet(self._seg, self._meet_at, self._meet_at + LINE_WORDS, self._met)
        start = time.perf_counter_ns()
        ours(n)
        elapsed = time.perf_counter_ns() - start
        if not os.read(self._done, 1):
            raise HostError(f"bench: the partner process ended with {self._ending()} in loop {name}; run again")
        return elapsed

    def _ending(self) -> str:
        wait_any([self._child], LEAVE_S)
        return self._child.describe_end()

    def stop(self) -> None:
        """Let the partner leave; one that waits at a start line where nobody comes any more is killed."""
        os.close(self._commands)
        os.close(self._done)
        wait_any([self._child], LEAVE_S)
        if self._child.alive:
            signal.pidfd_send_signal(self._child.pidfd, signal.SIGKILL)
            wait_any([self._child], LEAVE_S)
        os.close(self._child.pidfd)


def line_bounce(partner: Partner, seg: Words, word: int, n: int) -> float:
    """Nanoseconds a line takes from one core to the other; the partner has pong() on `word` as loop "bounce"."""
    seg[word] = 0
    return partner.sample("bounce", n, lambda n: ping(seg, word, n)) / (2 * n)
