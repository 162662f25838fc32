"""Stepping: run one operation of a structure up to a chosen point, and let something happen there."""

import threading

import pytest

import emu.arch
from emu.ring import mpmc, spsc, stack

_ORDERED = [
    "load_acquire", "load_relaxed", "store_relaxed", "store_release", "cmpxchg_relaxed", "cmpxchg_acquire",
    "cmpxchg_release", "cmpxchg_acq_rel", "fetch_add_acq_rel", "fetch_or_acq_rel",
]


class Stopped(Exception):
    """Raised in the middle of an operation: its participant never does another step."""


class Participant:
    """One operation on a thread of its own that moves only when told to, from access to access."""

    def __init__(self, stepper, operation, *args):
        self._go, self._rest = threading.Semaphore(0), threading.Semaphore(0)
        self._left = None
        self.result, self.error, self.over = None, None, False
        self._work = (stepper, operation, args)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        stepper, operation, args = self._work
        self._go.acquire()
        stepper.local.participant = self
        try:
            self.result = operation(*args)
        except Exception as error:
            self.error = error
        self.over = True
        self._rest.release()

    def point(self):
        if self._left == 0:
            self._rest.release()
            self._go.acquire()
        if self._left is not None:
            self._left -= 1

    def run_to(self, k):
        """Do k accesses and rest before the next; k None: do all that is left. Returns whether it is over."""
        self._left = k
        self._go.release()
        self._rest.acquire()
        if self.over:
            self._thread.join()
            if self.error is not None:
                raise self.error
        return self.over

    def finish(self):
        if not self.over:
            self.run_to(None)
        return self.result


class Stepper:
    """Every ordered access of the interpreted ring room is a point at which something may happen."""

    def __init__(self):
        self._left = None
        self._event = None
        self.local = threading.local()

    def participant(self, operation, *args):
        return Participant(self, operation, *args)

    def point(self):
        if (participant := getattr(self.local, "participant", None)) is not None:
            participant.point()
            return
        if self._left is None:
            return
        if self._left == 0:
            self._left = None  # the event's own accesses are no points, unless it says so
            self._event()
        else:
            self._left -= 1

    def interrupt(self, k, event, operation, *args):
        """Run operation(*args) with event() before its k-th access. (reached, result); result is None if stopped."""
        self._left, self._event = k, event
        result = None
        try:
            result = operation(*args)
        except Stopped:
            self._left = None
            return True, None
        reached = self._left is None
        self._left = None
        return reached, result


@pytest.fixture
def stepper(monkeypatch):
    """A Stepper wired into the modules of the room. Interpreted bodies only."""
    this = Stepper()

    def stepped(function):
        def access(*args):
            this.point()
            return function(*args)

        return access

    for module in (mpmc, spsc, stack):
        for name in _ORDERED:
            if hasattr(module, name):
                monkeypatch.setattr(module, name, stepped(getattr(emu.arch, name)))
    return this


@pytest.fixture
def stop():
    """An event that stops the participant for ever."""

    def event():
        raise Stopped

    return event
