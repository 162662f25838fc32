"""Signals that end a run: raised while there is nothing to clean up, counted from then on.

Holds   Signals, and what stands for a signal before the run began.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from emu.errors import EmuError


class Interrupted(EmuError):
    """A signal came before the run had begun: there is nothing to report."""

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name} before the run began; nothing was measured")
        self.exit_code = 128 + number


class EarlySignal(BaseException):
    """What the handler raises while there is nothing to clean up. No Exception: compilers catch and reword those."""


@dataclass
class Signals:
    """SIGINT, SIGTERM and SIGHUP from the first preparation on. counted: they are noted only, and do not raise."""

    number: int = 0
    count: int = 0
    counted: bool = False
    _before: dict = field(default_factory=dict)

    def __enter__(self) -> "Signals":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: object) -> None:
        self.number = self.number or number
        self.count += 1
        if not self.counted:
            raise EarlySignal

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within the block a signal is counted; one that came is raised at its end.

        Blocking signals would not do: libraries have threads of their own, which the kernel may choose to take them.
        """
        before, self.counted = self.counted, True
        try:
            yield
        finally:
            self.counted = before
        if self.count and not self.counted:
            raise EarlySignal

    def check(self) -> None:
        """Raise Interrupted if one has come: for steps before time zero."""
        if self.count:
            raise Interrupted(self.number)
