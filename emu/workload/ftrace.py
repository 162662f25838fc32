"""Recorded demand: kvfree_rcu() calls of a real kernel, read from the text of its trace buffer.

Holds   load_demand() for ftrace text (plain or gzip) and for the compact document that write_demand() makes;
        RecordedDemand (who called when, in which context) and RecordedKernel (how that kernel answered).
Rule    times count from the first call of any CPU and never go backwards on one CPU. Whatever is not a sound
        recording is refused by file and line; nothing is guessed. A full recording accounts for each call:
        calls = objects freed in bulk + objects freed from the list.
Limits  microseconds, as ftrace prints them. The tick rate is not in the text. Events that the kernel lost are
        counted, the calls among them cannot be restored.
Usage   python -m emu.workload.ftrace TRACE OUT
After   Linux Documentation/trace/ftrace.rst (columns), kernel/trace/trace_output.c.
"""

import argparse
import contextlib
import dataclasses
import gzip
import io
import itertools
import re
import sys
import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgpack

from emu.errors import ConfigError, EmuError

DEFAULT_EVENT = "kvfree_call_rcu"
FORMAT, VERSION = "emu-demand", 1
DOCUMENT_MAX = 64 << 20  # bytes of an unpacked compact document: far above any recording, far below memory

# Context classes of a call, from the most to the least free.
TASK_PREEMPTIBLE, TASK_ATOMIC, SOFTIRQ, HARDIRQ = 0, 1, 2, 3
CONTEXTS = ("task_preemptible", "task_atomic", "softirq", "hardirq")

_GZIP_MAGIC = b"\x1f\x8b"
# TASK-PID, an optional thread group, CPU, four or five flag columns, time, text of the event
_LINE = re.compile(
    r"\s*(?P<task>.+)-(?P<pid>\d+)\s+(?:\(\s*[\d-]+\)\s+)?\[(?P<cpu>\d+)\]\s+(?P<flags>\S{4,5})\s+"
    r"(?P<s>\d+)\.(?P<frac>\d{6,9}):\s+(?P<text>.*)"
)
_LOST = re.compile(r"CPU:\d+ \[LOST (?:(\d+) )?EVENTS\]")
_ENTRIES = re.compile(r"#\s*entries-in-buffer/entries-written:\s*(\d+)/(\d+)")
_FUNCTION = re.compile(r"function (\S+)")
_RECORDS = re.compile(r"nr_records=(\d+)")


@dataclasses.dataclass(frozen=True)
class CpuDemand:
    """Calls of one CPU, in order. times_us: microseconds since the first call of all CPUs; contexts: one class each."""

    cpu: int
    times_us: array
    contexts: bytes

    def __len__(self) -> int:
        return len(self.times_us)

    def calls(self) -> Iterator[tuple[int, int]]:
        """(t_us, context class) of each call."""
        return zip(self.times_us, self.contexts, strict=True)


@dataclasses.dataclass(frozen=True)
class RecordedKernel:
    """How the recorded kernel answered: what an emulation of the same demand is held against.

    calls, cpus, span_us: the demand itself. worker_runs: refill worker. list_objects, bulk_objects: objects freed
    one by one and from bnodes; bnodes: pages freed. monitor_runs, work_runs: as the kernel's functions are named.
    gp_started, gp_ended: grace periods that started or ended between the first and the last call; gp_p50_us,
    gp_max_us: length of those that did both (0: none). lost: events the kernel dropped while it recorded.
    hz: None, because the text does not tell.
    """

    calls: int
    cpus: int
    span_us: int
    worker_runs: int
    list_objects: int
    bulk_objects: int
    bnodes: int
    monitor_runs: int
    work_runs: int
    gp_started: int
    gp_ended: int
    gp_p50_us: int
    gp_max_us: int
    lost: int
    hz: int | None = None

    @property
    def unaccounted(self) -> int:
        """Calls without an answer in the recording: 0 when it is complete, all of them when only calls were traced."""
        return self.calls - self.bulk_objects - self.list_objects


@dataclasses.dataclass(frozen=True)
class RecordedDemand:
    """Calls of `event` by CPU, and the kernel's own figures. `source`: name of the file that was recorded."""

    event: str
    source: str
    cpus: tuple[CpuDemand, ...]
    kernel: RecordedKernel

    @property
    def calls(self) -> int:
        """Calls of all CPUs."""
        return sum(len(cpu) for cpu in self.cpus)

    @property
    def span_us(self) -> int:
        """First call to last call."""
        return max(cpu.times_us[-1] for cpu in self.cpus)


def context_class(flags: str) -> int:
    """Context class from ftrace's flag columns: irqs-off, need-resched, hard/soft IRQ, preempt depth, ..."""
    if flags[2] in "ZzHh":
        return HARDIRQ
    if flags[2] == "s":
        return SOFTIRQ
    return TASK_PREEMPTIBLE if flags[0] == "." and flags[3] in ".0" else TASK_ATOMIC


class _Recording:
    """What one pass over the text gathers. feed() every line, then demand()."""

    def __init__(self, name: str, event: str):
        self.name = name
        self.event = event
        self.times: dict[int, array] = {}
        self.contexts: dict[int, bytearray] = {}
        self.events: Counter[str] = Counter()
        self.functions: Counter[str] = Counter()  # work functions that a kworker started
        self.bulk_objects = self.lost = self.lines = 0
        self.periods: list[tuple[int, str, str]] = []  # grace periods: (t_us, name and number, start or end)

    def fail(self, what: str) -> ConfigError:
        return ConfigError(f"{self.name}: line {self.lines}: {what}")

    def feed(self, line: str) -> None:
        """Take one line of the trace. Raises ConfigError for a line that is none."""
        self.lines += 1
        if match := _LINE.match(line):
            self._event(match)
        elif entries := _ENTRIES.match(line):
            self.lost += int(entries[2]) - int(entries[1])
        elif dropped := _LOST.match(line):
            self.lost += int(dropped[1] or 1)
        elif line.strip() and not line.lstrip().startswith(("#", "=>")):  # => is a line of a stack trace
            raise self.fail(f"{line.strip()[:60]!r} is no line of ftrace text (task-pid [cpu] flags time: event); "
                            f"save the file `trace` of the kernel's trace buffer as it is")

    def _event(self, match: re.Match) -> None:
        event, colon, rest = match["text"].partition(":")
        if not colon:
            return  # a line of the function tracer
        self.events[event] += 1
        if event == self.event:
            self._call(int(match["cpu"]), self._time_us(match), match["flags"])
        elif event == "rcu_invoke_kfree_bulk_callback":
            if not (records := _RECORDS.search(rest)):
                raise self.fail(f"{event} without nr_records: each must tell its records; the file is damaged")
            self.bulk_objects += int(records[1])
        elif event == "rcu_grace_period":
            period, _, what = rest.strip().rpartition(" ")
            if what in ("start", "end"):
                self.periods.append((self._time_us(match), period, what))
        elif event == "workqueue_execute_start" and (function := _FUNCTION.search(rest)):
            self.functions[function[1]] += 1

    @staticmethod
    def _time_us(match: re.Match) -> int:
        return int(match["s"]) * 1_000_000 + int(match["frac"][:6])

    def _call(self, cpu: int, t_us: int, flags: str) -> None:
        times = self.times.setdefault(cpu, array("q"))
        if times and t_us < times[-1]:
            raise self.fail(f"time {t_us} us after {times[-1]} us on cpu {cpu}: must not go backwards; record with "
                            f"a clock that does not (echo mono > trace_clock), in one run")
        times.append(t_us)
        self.contexts.setdefault(cpu, bytearray()).append(context_class(flags))

    def _runs(self, probe: str, function: str) -> int:
        """Runs of a kernel function: by a probe of that name, else as work that a kworker started."""
        return self.events[probe] or self.functions[function]

    def _kernel(self, first: int, last: int) -> RecordedKernel:
        begun: dict[str, int] = {}
        lengths = []
        started = ended = 0
        for t_us, period, what in self.periods:
            if not first <= t_us <= last:
                continue
            if what == "start":
                started += 1
                begun[period] = t_us
            else:
                ended += 1
                if period in begun:
                    lengths.append(t_us - begun.pop(period))
        lengths.sort()
        return RecordedKernel(
            calls=self.events[self.event], cpus=len(self.times), span_us=last - first,
            worker_runs=self._runs("fill_page_cache", "fill_page_cache_func"),
            list_objects=self.events["rcu_invoke_kvfree_callback"], bulk_objects=self.bulk_objects,
            bnodes=self.events["rcu_invoke_kfree_bulk_callback"],
            monitor_runs=self._runs("kfree_rcu_monitor", "kfree_rcu_monitor"),
            work_runs=self._runs("kfree_rcu_work", "kfree_rcu_work"),
            gp_started=started, gp_ended=ended,
            gp_p50_us=lengths[len(lengths) // 2] if lengths else 0, gp_max_us=lengths[-1] if lengths else 0,
            lost=self.lost,
        )

    def demand(self) -> RecordedDemand:
        """The demand, after the last line. Raises ConfigError if the event never occurred."""
        if not self.events:
            raise ConfigError(f"{self.name}: no events in {self.lines} lines: must hold at least one {self.event}; "
                              f"save the file `trace` of the kernel's trace buffer after the load ran")
        if not self.times:
            seen = ", ".join(event for event, _ in self.events.most_common(6))
            raise ConfigError(f"{self.name}: no event {self.event}: it holds {seen}; trace {self.event} (a kprobe), "
                              f"or name the event that stands for a call")
        first = min(times[0] for times in self.times.values())
        last = max(times[-1] for times in self.times.values())
        cpus = tuple(
            CpuDemand(cpu, array("q", (t - first for t in times)), bytes(self.contexts[cpu]))
            for cpu, times in sorted(self.times.items())
        )
        return RecordedDemand(self.event, Path(self.name).name, cpus, self._kernel(first, last))


def parse_ftrace(lines: Iterable[str], name: str = "trace", event: str = DEFAULT_EVENT) -> RecordedDemand:
    """The demand in lines of ftrace text; `name` is what errors call the file. Raises ConfigError."""
    recording = _Recording(name, event)
    for line in lines:
        recording.feed(line)
    return recording.demand()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    """The file's bytes, unpacked if it is gzip. Turns what can be wrong with a file into ConfigError."""
    try:
        with open(path, "rb") as plain:
            if plain.peek(2)[:2] == _GZIP_MAGIC:
                with gzip.open(plain) as unpacked:
                    yield io.BufferedReader(unpacked)
            else:
                yield plain
    except EOFError:
        raise ConfigError(f"{path}: truncated gzip: must be whole; copy or record it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ConfigError(f"{path}: damaged gzip ({error}); copy or record it again") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}: must be a readable trace; "
                          f"give a file that exists") from None


def load_demand(path: str | Path, event: str = DEFAULT_EVENT) -> RecordedDemand:
    """The recorded demand in `path`: ftrace text or the compact document, plain or gzip.

    event: which event stands for a call. Raises ConfigError, naming file, line and rule, for anything else:
    empty, not ftrace, no such event, times that go backwards, truncated.
    """
    path = Path(path)
    with _opened(path) as file:
        head = file.peek(1)[:1]
        if not head:
            raise ConfigError(f"{path}: empty: must be ftrace text or a compact demand; record it again")
        if head[0] >= 0x80:  # a msgpack map; no text of a trace begins so
            return _unpack(file.read(DOCUMENT_MAX + 1), str(path), event)
        return parse_ftrace(io.TextIOWrapper(file, "ascii", errors="replace"), str(path), event)


def _pack(demand: RecordedDemand) -> bytes:
    cpus = []
    for cpu in demand.cpus:
        deltas = [later - earlier for earlier, later in itertools.pairwise((0, *cpu.times_us))]
        runs = [[context, len(list(same))] for context, same in itertools.groupby(cpu.contexts)]
        cpus.append({"cpu": cpu.cpu, "deltas_us": deltas, "contexts": runs})
    return msgpack.packb({
        "format": FORMAT, "version": VERSION, "event": demand.event, "source": demand.source,
        "context_names": list(CONTEXTS), "kernel": dataclasses.asdict(demand.kernel), "cpus": cpus,
    })


def _unpack(document: bytes, name: str, event: str) -> RecordedDemand:
    try:
        if len(document) > DOCUMENT_MAX:
            raise ValueError(f"larger than {DOCUMENT_MAX >> 20} MiB")
        data = msgpack.unpackb(document)
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']!r}")
        if data["version"] != VERSION:
            raise ConfigError(f"{name}: demand document version {data['version']}, this program knows {VERSION}; make "
                              f"it anew from the trace (python -m emu.workload.ftrace)")
        cpus = tuple(_unpack_cpu(each) for each in data["cpus"])
        demand = RecordedDemand(data["event"], data["source"], cpus, RecordedKernel(**data["kernel"]))
        if any(type(figure) is not int for key, figure in data["kernel"].items() if key != "hz"):
            raise ValueError("a figure that is no integer")
        if demand.calls != demand.kernel.calls or not cpus:
            raise ValueError(f"{demand.calls} calls, its figures say {demand.kernel.calls}")
    except (ValueError, KeyError, TypeError, OverflowError, msgpack.exceptions.UnpackException) as error:
        raise ConfigError(f"{name}: neither ftrace text nor a sound demand document ({error}); make it anew from "
                          f"the trace (python -m emu.workload.ftrace)") from None
    if demand.event != event:
        raise ConfigError(f"{name}: holds calls of {demand.event}, not of {event}; ask for that event, or give "
                          f"the trace itself")
    return demand


def _unpack_cpu(each: dict) -> CpuDemand:
    deltas = each["deltas_us"]
    if not deltas or min(deltas) < 0:
        raise ValueError(f"cpu {each['cpu']}: no calls, or times that go backwards")
    if any(context not in range(len(CONTEXTS)) or n < 1 for context, n in each["contexts"]):
        raise ValueError(f"cpu {each['cpu']}: unknown context class")
    if sum(n for _, n in each["contexts"]) != len(deltas):
        raise ValueError(f"cpu {each['cpu']}: contexts of another number of calls")
    contexts = b"".join(bytes([context]) * n for context, n in each["contexts"])
    return CpuDemand(each["cpu"], array("q", itertools.accumulate(deltas)), contexts)


def write_demand(demand: RecordedDemand, path: str | Path) -> None:
    """Write the compact document; the same demand gives the same bytes. Raises OSError."""
    Path(path).write_bytes(gzip.compress(_pack(demand), 9, mtime=0))


def describe(demand: RecordedDemand) -> str:
    """The demand and the kernel's answer in a few lines of text."""
    kernel = demand.kernel
    contexts = Counter(itertools.chain.from_iterable(cpu.contexts for cpu in demand.cpus))
    shares = ", ".join(f"{CONTEXTS[context]} {n}" for context, n in sorted(contexts.items()))
    return "\n".join((
        f"{demand.source}: {demand.calls} x {demand.event} on {len(demand.cpus)} cpus in {demand.span_us / 1e6:.3f} s",
        f"contexts: {shares}",
        f"freed: {kernel.bulk_objects} in {kernel.bnodes} bnodes + {kernel.list_objects} from the list; "
        f"unaccounted {kernel.unaccounted}; events lost {kernel.lost}",
        f"refill worker runs {kernel.worker_runs}; monitor runs {kernel.monitor_runs}; work runs {kernel.work_runs}",
        f"grace periods: {kernel.gp_started} started, {kernel.gp_ended} ended; length p50 {kernel.gp_p50_us} us, "
        f"max {kernel.gp_max_us} us",
    ))


def main(argv: list[str] | None = None) -> int:
    """Make a compact demand document from a trace. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m emu.workload.ftrace", description="Make a compact demand document from a kernel's trace.")
    parser.add_argument("trace", help="ftrace text, plain or gzip")
    parser.add_argument("out", help="document to write (.msgpack.gz)")
    parser.add_argument("--event", default=DEFAULT_EVENT, help="event that stands for a call (%(default)s)")
    parser.add_argument("--unbalanced", action="store_true", help="accept calls that the trace leaves unanswered")
    args = parser.parse_args(argv)
    try:
        demand = load_demand(args.trace, args.event)
        if demand.kernel.unaccounted and not args.unbalanced:
            raise ConfigError(f"{args.trace}: {demand.kernel.unaccounted} of {demand.calls} calls unaccounted: calls "
                              f"must equal bulk + list objects; record until all are freed, or pass --unbalanced")
        try:
            write_demand(demand, args.out)
        except OSError as error:
            raise ConfigError(f"{args.out}: {error.strerror}: must be writable; name another file") from None
    except EmuError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(describe(demand))
    print(f"wrote {args.out}: {Path(args.out).stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
