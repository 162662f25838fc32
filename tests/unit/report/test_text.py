"""The report says what the record says, in order, within its width, for every record that can be read."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.report import report_text
from emu.report.tables import cells
from emu.results import blank_record, check_record, index_of
from emu.results.schema import SCHEMA, MapOf, Maybe, OneOf, Optional, Rows

SMALL = """\
VALID: 12 of 12 invariants hold

question  Does a cache remove the tail?
ran       configs/first.toml; load replay; 2 CPUs on cores 2-3; 10.0 s; seed 7
rules     epoch E61; policy S3 (sources: cache; refill: hrtimer); preemption
          full; HZ 250
clock     cycles, error 1.24 ppm; deep idle states held off
made      emu 0.1.0, 2020-09-13 12:26 UTC

(a) fallback window: from the first miss to the next hit on that CPU
  windows 2: p50 201 us, p99 500 us, max 500 us
  without pages for 700 us, 0.00350 % of the CPUs' time
  objects lost to the fallback 400 of 40 000 calls (1.00 %): 400 to the list, 0
  to synchronize_rcu()
  objects in a window: p50 100, p99 300, max 300

(b) misprediction: pages short against pages too many
  short     misses 2, 0.00500 % of calls, 0.200 per s
  too many  60.0 page-seconds idle = 60.0 cached + 0 static
  held      100 page-seconds; idle against held 60.0 %

(c) footprint: pages held, mean and peak
  CPU   calls  misses  windows  fallbacks  mean held  mean idle  peak
  0    20 000       1        1        100       5.00       3.00     5
  1    20 000       1        1        300       5.00       3.00     5
  in all: mean 10.0 (40.0 KiB), peak 9 (36 KiB), 0.0137 % of 65 536 pages

refill latency: from the miss to the first hit
  phase              count       p50       p99     p99.9       max      mean
  miss -> doorbell       2  ~1.00 us  ~3.00 us  ~3.00 us  ~3.00 us  ~2.00 us
  stood aside            2     ~0 ns    200 us    200 us    200 us    100 us
  doorbell -> run        2    100 us    100 us    100 us    100 us    100 us
  run -> page there      2  ~2.01 us  ~4.00 us  ~4.00 us  ~4.00 us  ~3.00 us
  page -> first hit      2   97.3 us    193 us    193 us    193 us    145 us
  total                  2    201 us    500 us    500 us    500 us    350 us
  sums: parts 700 000 ns = total 700 000 ns: they add up

calls 40 000, 4 000 per s: 39 600 array, 400 list, 0 synchronous
  one call p50 ~643 ns, p99 ~700 ns, p99.9 ~700 ns, max ~700 ns (2 timed)
grace periods 500, 50.0 per s
  one took p50 8.03 ms, p99 12.0 ms, max 12.0 ms

pages 65 536 = buddy 61 830 + pcp 512 + cache 320 + slab 2 874: adds up
objects 40 128 = freed 40 000 + live 128: adds up
enqueued 40 000 = freed 40 000: adds up
zone: free 61 830 at the end, 61 000 at the lowest; min 500, low 625, high 750

lock        acquired  contended   waited  hold mean  hold max  off core
zone->lock     1 000     1.00 %  50.0 us     300 ns   41.0 us         1

stalls: none
invariants: 12 of 12 hold

process      core/last  class  CPU time  queued  noise max
mutator/0          2/2  other    9.00 s  100 ms    50.0 us
mutator/1          3/3  other    9.00 s  100 ms    50.0 us
coordinator        4/4  other    9.00 s  100 ms          -

noise floor 50.0 us: the host's largest gap; latencies below it carry ~ and are
  no finding; at most 0.100 % of a process's time
not told: absolute kernel latency (this is compiled Python, not the kernel's C);
          orderings and scheduling of a kind of machine that it did not run on.

repeat: emu run configs/first.toml
"""


def test_the_small_record_reads_exactly_so(small_record):
    check_record(small_record)
    assert report_text(small_record) == SMALL


def kinds(kind, integers, text):
    """Anything that fits a kind of the schema."""
    def below(inner):
        return kinds(inner, integers, text)

    if isinstance(kind, Maybe | Optional):
        return st.none() | below(kind.kind) if isinstance(kind, Maybe) else below(kind.kind)
    if isinstance(kind, OneOf):
        return st.sampled_from(kind.words)
    if isinstance(kind, Rows):
        row = (st.tuples(integers, text, integers, integers) if "name" in kind.rule
               else st.tuples(st.integers(0, 4607), st.integers(0, 2**40)))
        return st.lists(row.map(list), max_size=3)
    if isinstance(kind, list):
        return st.lists(below(kind[0]), max_size=3)
    if isinstance(kind, MapOf):
        return st.dictionaries(text, below(kind.value), max_size=2)
    if isinstance(kind, dict):
        return st.fixed_dictionaries({key: below(inner) for key, inner in kind.items()})
    return {str: text, int: integers, bool: st.booleans(), dict: st.just({}),
            float: st.floats(0, 1e12)}[kind]


def records(integers, text):
    names = ("refill_wake_ns", "refill_total_ns", "fallback_window_ns", "gp_ns", "kvfree_call_ns")
    histograms = st.dictionaries(st.sampled_from(names), kinds(SCHEMA["histograms"].value, integers, text))
    counters = st.fixed_dictionaries({"names": st.just(["bnode_free"]), "per_process": st.dictionaries(
        text, st.lists(integers, min_size=1, max_size=1), max_size=2)})
    whole = kinds(SCHEMA, integers, text)
    return st.builds(lambda record, h, c: record | {"histograms": h, "counters": c}, whole, histograms, counters)


def assert_readable(record, width):
    check_record(record)
    lines = report_text(record, width=width).splitlines()
    assert lines[0].startswith(record["verdict"]["word"] + ": ")
    assert [line for line in lines if cells(line) > width] == []
    assert any(line.startswith("repeat:") for line in lines)


@settings(max_examples=25)
@given(records(st.integers(0, 2**45), st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=60)),
       st.integers(72, 120))
def test_any_plausible_record_keeps_within_the_width(record, width):
    assert_readable(record, width)


@settings(max_examples=25)
@given(records(st.integers(-(2**63), 2**64 - 1), st.text(max_size=30)))
def test_any_record_that_can_be_read_can_be_reported(record):
    assert_readable(record, 80)


@given(st.lists(st.tuples(*[st.integers(0, 10**7)] * 4), min_size=1, max_size=20), st.integers(0, 3))
def test_the_sums_line_tells_whether_the_phases_make_the_whole(refills, torn):
    record, names = blank_record(), ("refill_doorbell_ns", "refill_wake_ns", "refill_alloc_ns", "refill_hit_ns")
    for i, name in enumerate(names):
        record["histograms"][name] = _in_two_processes([refill[i] for refill in refills])
    total = [sum(refill) for refill in refills]
    total[0] += torn
    record["histograms"]["refill_total_ns"] = _in_two_processes(total)
    text = " ".join(report_text(record).split())
    assert (": they add up" in text) == (torn == 0)
    assert (f"-{torn} ns apart" in text) == (torn != 0)


def _in_two_processes(values):
    def sparse(part):
        return {"total": len(part), "sum": sum(part), "min": min(part, default=0), "max": max(part, default=0),
                "clamped": 0, "counts": [[index, 1] for index in sorted({index_of(value) for value in part})]}

    half = len(values) // 2
    return {"unit": "ns", "per_process": {"a": sparse(values[:half]), "b": sparse(values[half:])}}


TERMS = ("buddy", "pcp", "cache", "static", "bnode", "slab", "vmalloc", "other", "lost")


@given(st.lists(st.integers(0, 10**8), min_size=9, max_size=9), st.integers(-5, 5))
def test_the_page_ledger_prints_terms_that_make_its_sum(terms, missing):
    record = blank_record()
    record["ledger"].update(zip(TERMS, terms, strict=True))
    record["ledger"]["managed"] = sum(terms) + missing
    text = " ".join(report_text(record).split())
    line = re.search(r"pages ([-\d ]+)(?:=|is NOT) (.*?)(: adds up| = ([-\d ]+): ([-\d ]+) unaccounted)", text)
    printed = sum(int(term.lstrip("abcdefghijklmnopqrstuvwxyz ").replace(" ", "")) for term in line[2].split(" + "))
    assert printed == sum(terms)
    assert int(line[1].replace(" ", "")) == sum(terms) + missing
    assert (line[3] == ": adds up") == (missing == 0)
    assert line[5] is None or int(line[5].replace(" ", "")) == missing


@pytest.mark.parametrize(("word", "reasons", "first"), [
    ("VALID", [], "VALID: 12 of 12 invariants hold"),
    ("INVALID", ["two objects freed early"], "INVALID: two objects freed early"),
    ("INCOMPLETE", ["mutator/3 killed by signal 9 at 4.217 s", "interrupted"],
     "INCOMPLETE: mutator/3 killed by signal 9 at 4.217 s; interrupted"),
])
def test_every_verdict_stands_first_with_its_reasons(small_record, word, reasons, first):
    small_record["verdict"] = {"word": word, "reasons": reasons}
    assert report_text(small_record).splitlines()[0] == first


def test_a_run_that_ended_early_says_how_early(small_record):
    small_record["elapsed_ns"] = 4_217_000_000
    assert report_text(small_record).startswith("VALID: 12 of 12 invariants hold; ran 4.22 s of 10.0 s\n")


def test_no_miss_is_said_in_words(small_record, make_cpu):
    small_record["cpus"] = [make_cpu(0), make_cpu(1)]
    assert "  none: every call found a page\n" in report_text(small_record)
    small_record["cpus"] = [make_cpu(0, calls=0)]
    assert "  none: no call was made\n" in report_text(small_record)


def test_fallbacks_without_a_window_are_not_called_none(small_record, make_cpu):
    small_record["cpus"] = [make_cpu(0, fallback_sync=3)]
    text = report_text(small_record)
    assert "none: every call" not in text
    assert "(0.0150 %): 0 to the list, 3 to" in text


def test_an_open_window_is_named(small_record):
    small_record["cpus"][1]["open_window"] = True
    assert "  1 window still open at the end: not in the percentiles\n" in report_text(small_record)


def test_empty_histograms_print_dashes(small_record):
    empty = {"total": 0, "sum": 0, "min": 0, "max": 0, "clamped": 0, "counts": []}
    small_record["histograms"]["fallback_window_ns"] = {"unit": "ns", "per_process": {"mutator/0": empty}}
    small_record["histograms"]["refill_hit_ns"] = {"unit": "ns", "per_process": {}}
    text = report_text(small_record)
    assert "  windows 2: p50 -, p99 -, max -\n" in text
    assert re.search(r"page -> first hit +0 +- +- +- +- +-\n", text)


def test_no_refill_at_all_is_one_line(small_record):
    small_record["histograms"] = {}
    assert "refill latency: from the miss to the first hit\n  none: no page was asked of a worker\n" in report_text(
        small_record)


def test_marks_and_degradations_are_shown(small_record):
    small_record["marks"] = ["overcommitted: 4 CPUs on 2 cores"]
    small_record["degraded"] = ["class fifo refused, other used"]
    text = report_text(small_record)
    assert "\nmark      overcommitted: 4 CPUs on 2 cores\n" in text
    assert "\ndegraded  class fifo refused, other used\n" in text


def test_a_broken_invariant_is_told_in_detail(small_record):
    small_record["invariants"][3] = {"name": "pages", "ok": False, "detail": "3 pages are nowhere: 17, 18, 19"}
    text = report_text(small_record)
    assert "invariants: 11 of 12 hold\n  BROKEN pages: 3 pages are nowhere: 17, 18, 19\n" in text
    assert "law 4" not in text


def test_rcuscale_has_the_kernel_s_four_figures_in_order(small_record):
    small_record["rcuscale"] = {"total_ns": 595_300_000, "loops": 24, "batches": 56, "footprint_mb": 12.4, "threads": 2}
    text = report_text(small_record).replace("\n", " ")
    assert ("rcuscale kfree test: total 595 300 000 ns (595 ms), loops 24, batches 56, footprint 12.4 MB; 2 threads"
            in text)


def test_recorded_figures_stand_beside_ours(small_record):
    small_record["recorded"] = {"source": "rcuscale on 6.1", "calls": 20_000, "list_objects": 100, "bnodes": 40,
                                "worker_runs": 2, "span_us": 595_300, "gp_p50_us": 8000.5, "gp_ended": 10,
                                "lost": 0, "note": "text is not shown"}
    rows = [line.split("  ") for line in report_text(small_record).splitlines()]
    rows = {" ".join(row).split("  ")[0].strip(): [cell.strip() for cell in row if cell.strip()] for row in rows}
    found = {row[0]: row[1:] for row in rows.values() if row}
    assert found["calls"] == ["20 000", "40 000"]
    assert found["list objects"] == ["100", "400", "5.00", "10.0"]
    assert found["bnodes"] == ["40", "80", "2.00", "2.00"]
    assert found["worker runs"] == ["2", "2", "0.100", "0.0500"]
    assert found["span"] == ["595 ms", "10.0 s"]
    assert found["gp p50"] == ["8.00 ms", "8.03 ms"]
    assert found["gp ended"] == ["10", "500", "0.500", "12.5"]
    assert found["lost"] == ["0", "-"]
    assert "note" not in found


def test_orphans_and_stalls_are_named_worst_first_and_counted(small_record):
    small_record["ledger"]["orphans"] = [{"pfn": i, "state": "bnode", "owner": "mutator/1"} for i in range(13)]
    small_record["stalls"] = [{"process": f"mutator/{i}", "kind": "stopped", "start_ns": 10**9, "length_ns": i * 10**6,
                               "detail": "SIGSTOP"} for i in range(1, 14)]
    text = report_text(small_record)
    assert "in dead hands: 13 pages: 0 (bnode, mutator/1)," in text
    assert "and 3 more" in text
    assert "stalls: 13\n  mutator/13 stopped at 1.00 s for 13.0 ms: SIGSTOP\n" in text
    assert "  3 more, shorter\n" in text


def test_sixty_four_cpus_stay_readable(small_record, make_cpu, make_process):
    small_record["cpus"] = [make_cpu(i, calls=1_000 + i, misses=i) for i in range(64)]
    small_record["processes"] = [make_process(f"mutator/{i}", "mutator", i) for i in range(64)]
    small_record["processes"] += [make_process(f"page_refill/{i}", "page_refill", i) for i in range(64)]
    small_record["processes"][5] |= {"exit": "signal 9", "last_core": 63, "run_ns": None}
    text = report_text(small_record)
    assert len(text.splitlines()) < 80
    assert "64 CPUs on cores 0-63" in text
    assert re.search(r"\n  least +1 000 +0 .*\n  median +1 031 +31 .*\n  most +1 063 +63 ", text)
    assert re.search(r"\nmutator x64 +0-63 +other +9.00 s .* 1 not 0\n", text)
    assert re.search(r"\nmutator/5 +5/63 .*signal 9\n", text)
    assert "not where they were asked to be: mutator/5\n" in text


def test_lost_trace_events_are_never_silent(small_record):
    small_record["events"] = {"mutator/0": {"lost": 12, "records": [[1, "rcu_kvfree_miss", 0, 0]]}}
    assert "trace: 12 events lost (1.20 per s), 1 kept;" in report_text(small_record)


def test_without_a_measured_floor_nothing_is_marked(small_record):
    for process in small_record["processes"]:
        process["noise_max_ns"] = None
    text = report_text(small_record)
    assert "noise floor not measured" in text
    assert "~" not in text


def test_a_date_that_no_calendar_holds_does_not_stop_the_report(small_record):
    small_record["created_unix"] = 1e30
    assert "at a time that no calendar holds" in report_text(small_record)


def test_colour_changes_nothing_but_colour(small_record):
    coloured = report_text(small_record, color=True)
    assert coloured.startswith("\x1b[1;32mVALID\x1b[0m: ")
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == SMALL
    assert "\x1b" not in report_text(small_record)


def test_a_scenario_s_text_cannot_steer_the_terminal(small_record):
    small_record["scenario"]["resolved"]["question"] = "a\x1b]0;title\x07b\nVALID: forged"
    small_record["processes"][0]["name"] = "mut\rator"
    small_record["command"] = ["emu", "run", "x\x1b[2J"]
    text = report_text(small_record)
    assert "\x1b" not in text and "\r" not in text and "\x07" not in text
    assert not any(line.startswith("VALID: forged") for line in text.splitlines())
    assert text.endswith("repeat: emu run $'x\\x1b[2J'\n")
