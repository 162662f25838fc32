"""The benchmarks: which loops, on which machine, against which aim.

Holds   CATALOGUE, in the order of the table, and what a benchmark needs of its surroundings (Host).
Rule    an aim is the bound that the design was measured against: a prototype's figure, or the budget of a call. It is
        of one x86-64 host at 2.6 GHz; on another the ratio to the bare twin says more.
Adding  a line in CATALOGUE; loops in a file of this room; `make` builds what is sampled, `aim` may be None.
"""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from mmap import mmap
from statistics import median

from emu.arch import Words, private_words
from emu.bench import memory, objects, primitives, ring, wakeups
from emu.bench.machine import BenchMachine, bench_machine
from emu.bench.measure import Figure, OneCore, Spread, measure
from emu.bench.partner import MEET_WORDS, Partner, line_bounce, ping, pong
from emu.shm import HEADER, LINE_WORDS

BOUNCES, BOUNCES_QUICK = 20_000, 32
REFILLS, REFILLS_QUICK = 200, 3


@dataclass(frozen=True)
class Host:
    """Where to measure. near: this process's core; far: another one, or None."""

    near: int
    far: int | None
    rounds: int
    quick: bool

    @property
    def bounces(self) -> int:
        """Line transfers that one measurement of the distance takes."""
        return BOUNCES_QUICK if self.quick else BOUNCES


@dataclass(frozen=True)
class Bench:
    """One row. name: what selects it; label: what the table calls it; aim: bound on the median, in `unit`.

    run(host) measures. at_least: the aim is a floor, as for a rate. excess: the aim is on loop - bare.
    """

    name: str
    label: str
    unit: str
    aim: float | None
    run: Callable[[Host], Figure]
    two_cores: bool = False
    excess: bool = False

    @property
    def at_least(self) -> bool:
        """True if more is better."""
        return self.unit == "M/s"

    @property
    def aim_text(self) -> str:
        """The aim as the table shows it."""
        if self.aim is None:
            return "-"
        return ("+" if self.excess else ">=" if self.at_least else "<=") + f"{self.aim:g}"

    def missed(self, figure: Figure) -> bool:
        """Whether the median lies beyond the aim."""
        if self.aim is None:
            return False
        value = (figure.excess if self.excess and figure.excess else figure.value).median
        return value < self.aim if self.at_least else value > self.aim


# --- one core --------------------------------------------------------------------------------------------


def on_machine(unit: str, loop: Callable, bare: Callable, prepare: Callable[[BenchMachine], object] | None = None,
               step: int = 1, monotonic: bool = False) -> Callable[[Host], Figure]:
    """A benchmark on a machine of its own, prepared once."""

    def run(host: Host) -> Figure:
        machine = bench_machine()
        if monotonic:
            machine.seg[HEADER.clock_mult] = 0
        if prepare is not None:
            prepare(machine)
        figure = measure(OneCore(machine.seg, loop, bare, step=step), unit, host.rounds, host.quick)
        machine.check()
        return figure

    return run


def on_ring(loop: Callable, bare: Callable) -> Callable[[Host], Figure]:
    """A benchmark on the bare structures of room ring."""

    def run(host: Host) -> Figure:
        seg = private_words(ring.ring_bench_words())
        sides = OneCore(seg, loop, bare, setup=lambda: ring.ring_bench_setup(seg))
        return measure(sides, "ns", host.rounds, host.quick)

    return run


# --- two cores -------------------------------------------------------------------------------------------


@dataclass
class Stream:
    """A producer on the partner's core and a consumer on ours."""

    seg: Words
    partner: Partner
    consume: Callable
    bare: Callable
    host: Host
    bounces: list[float]
    bounce_at: int
    step: int = ring.BLOCK
    small: int = 8 * ring.BLOCK

    def sample(self, n: int) -> int:
        ring.ring_bench_setup(self.seg)
        self.bounces.append(line_bounce(self.partner, self.seg, self.bounce_at, self.host.bounces))
        return self.partner.sample("produce", n, lambda n: self.consume(self.seg, n))

    def sample_bare(self, n: int) -> int:
        ring.ring_bench_setup(self.seg)
        return self.partner.sample("bare", n, lambda n: self.bare(self.seg, n))


@contextmanager
def partner_on(seg: Words, meet_at: int, core: int, **loops: Callable):
    """A partner with loops (seg, n), told to leave at the end."""
    partner = Partner(seg, meet_at, core, {name: partial(loop, seg) for name, loop in loops.items()})
    try:
        yield partner
    finally:
        partner.stop()


def stream(produce: Callable, consume: Callable) -> Callable[[Host], Figure]:
    """A benchmark of items that cross from one core to the other."""

    def run(host: Host) -> Figure:
        assert host.far is not None
        meet_at = -(-ring.ring_bench_words() // LINE_WORDS) * LINE_WORDS
        seg = Words(mmap(-1, 8 * (meet_at + MEET_WORDS)))
        bounce_at = meet_at + 2 * LINE_WORDS
        ring.ring_bench_setup(seg)
        for loop in (produce, consume, ring.bare_produce, ring.bare_consume):
            loop(seg, 0)  # compiled before the fork
        compile_bounce(seg, bounce_at)
        with partner_on(seg, meet_at, host.far, produce=produce, bare=ring.bare_produce,
                        bounce=lambda seg, n: pong(seg, bounce_at, n)) as partner:
            sides = Stream(seg, partner, consume, ring.bare_consume, host, [], bounce_at)
            figure = measure(sides, "M/s", host.rounds, host.quick)
        bounce = Spread.of(sides.bounces[-host.rounds:])
        note = f"line bounce beside it {bounce.median:.0f} ns one way ({bounce.low:.0f}..{bounce.high:.0f})"
        return Figure(figure.unit, figure.value, figure.bare, figure.ratio, (note,))

    return run


def compile_bounce(seg: Words, word: int) -> None:
    """Compile both halves of the bounce, before a fork."""
    ping(seg, word, 0)
    pong(seg, word, 0)


def bounce(host: Host) -> Spread:
    """The distance of the two cores, for the table's head. Takes one partner of its own."""
    assert host.far is not None
    seg = Words(mmap(-1, 8 * MEET_WORDS))
    word = 2 * LINE_WORDS
    compile_bounce(seg, word)
    with partner_on(seg, 0, host.far, bounce=lambda seg, n: pong(seg, word, n)) as partner:
        line_bounce(partner, seg, word, host.bounces)  # warm
        return Spread.of(line_bounce(partner, seg, word, host.bounces) for _ in range(host.rounds))


def refill(same_core: bool) -> Callable[[Host], Figure]:
    """The latency of a refill beside that of a bare wake-up between the same two cores."""

    def run(host: Host) -> Figure:
        core = host.near if same_core else host.far
        assert core is not None
        rounds = REFILLS_QUICK if host.quick else REFILLS
        machine = bench_machine(shared=True, extra_words=MEET_WORDS + wakeups.area_words(REFILLS))
        machine.place(host.near, core)
        seg, meet_at, area = machine.seg, machine.extra, machine.extra + MEET_WORDS
        for loop in (wakeups.raw_ask, wakeups.raw_answer, wakeups.refill_ask, wakeups.refill_answer):
            loop(seg, area, 0)  # compiled before the fork
        real, raw = [], []
        with partner_on(seg, meet_at, core, raw=lambda seg, n: wakeups.raw_answer(seg, area, n),
                        refill=lambda seg, n: wakeups.refill_answer(seg, area, n)) as partner:
            for _ in range(host.rounds):
                partner.sample("refill", rounds, lambda n: wakeups.refill_ask(seg, area, n))
                real.append(p50_us(seg, area, rounds))
                seg[area + wakeups.BELL] = seg[area + wakeups.ANSWER] = 0
                partner.sample("raw", rounds, lambda n: wakeups.raw_ask(seg, area, n))
                raw.append(p50_us(seg, area, rounds))
        machine.check()
        more = Spread.of(a - b for a, b in zip(real, raw, strict=True))
        note = f"p50 of {rounds}; bare: a futex wake-up"
        gap = f"refill - bare {more.median:.2f} us ({more.low:.2f}..{more.high:.2f})"
        return Figure("us", Spread.of(real), Spread.of(raw), median(a / b for a, b in zip(real, raw, strict=True)),
                      (note, gap), more)

    return run


def p50_us(seg: Words, area: int, rounds: int) -> float:
    """Median of the samples, in microseconds."""
    first = area + wakeups.SAMPLES
    return max(1, median(seg.words[first : first + rounds].tolist())) / 1000


# --- the table -------------------------------------------------------------------------------------------

CATALOGUE = (
    Bench("retire", "retire", "ns", 8, on_machine(
        "ns", objects.bench_retire, objects.bare_retire, objects.prepare_retire)),
    Bench("append", "append", "ns", 2.5, on_machine(
        "ns", objects.bench_append, objects.bare_append, objects.prepare_retire)),
    Bench("steady", "steady", "M/s", 40, on_machine(
        "M/s", objects.bench_steady, objects.bare_steady, objects.prepare_steady)),
    Bench("pcp", "pcp", "ns", 8, on_machine("ns", memory.bench_pcp, memory.bare_pcp, memory.prepare_pcp)),
    Bench("stack", "stack", "ns", 5.6, on_ring(ring.bench_stack_one_core, ring.bare_stack_one_core)),
    Bench("zone", "zone", "ns", 12, on_machine("ns", memory.bench_zone, memory.bare_zone)),
    Bench("spsc", "spsc", "M/s", 290, stream(ring.bench_spsc_produce, ring.bench_spsc_consume), two_cores=True),
    Bench("spsc_block", "spsc_block", "M/s", 640, stream(
        ring.bench_spsc_produce_block, ring.bench_spsc_consume_block), two_cores=True),
    Bench("mpmc", "mpmc", "ns", 10, on_ring(ring.bench_mpmc_one_core, ring.bare_mpmc_one_core)),
    Bench("reader", "reader", "ns", 1, on_machine("ns", primitives.bench_reader, primitives.bare_reader)),
    Bench("histogram", "histogram", "ns", 5, on_machine("ns", primitives.bench_histogram, primitives.bare_histogram)),
    Bench("counter", "counter", "ns", None, on_machine("ns", primitives.bench_counter, primitives.bare_counter)),
    Bench("trace", "trace", "ns", None, on_machine("ns", primitives.bench_trace, primitives.bare_trace)),
    Bench("lock", "lock", "ns", 2.1, on_machine("ns", primitives.bench_lock, primitives.bare_lock)),
    Bench("clock", "clock/mono", "ns", None, on_machine(
        "ns", primitives.bench_clock, primitives.bare_monotonic, monotonic=True)),
    Bench("clock", "clock/cycles", "ns", None, on_machine("ns", primitives.bench_clock, primitives.bare_cycles)),
    Bench("refill", "refill/1core", "us", 1, refill(True), excess=True),
    Bench("refill", "refill/2core", "us", 1, refill(False), two_cores=True, excess=True),
)
NAMES = tuple(dict.fromkeys(bench.name for bench in CATALOGUE))
