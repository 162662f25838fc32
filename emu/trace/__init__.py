"""Events in the order they happened: tracepoints and the buffers that hold them.

Door of the room. Knows the names of events, nothing of those who raise them.
"""

from emu.trace.buffer import (
    MODES,
    OVERWRITE,
    SLOT,
    STOP_WHEN_FULL,
    TRACE,
    check_events,
    copy_events,
    init_trace,
    lost_events,
    read_all_events,
    read_events,
    trace_event,
    trace_words,
)
from emu.trace.events import EV, EVENT_NAMES, EVENTS, Event

__all__ = [
    "EV", "EVENTS", "EVENT_NAMES", "Event", "MODES", "OVERWRITE", "SLOT", "STOP_WHEN_FULL", "TRACE", "check_events",
    "copy_events", "init_trace", "lost_events", "read_all_events", "read_events", "trace_event", "trace_words",
]
