"""Recorded demand: what ftrace's text says, and a refusal with file and line for all else."""

import dataclasses
import gzip
import os
import re
import subprocess
import sys
from array import array
from pathlib import Path

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.errors import ConfigError
from emu.workload.ftrace import (
    CONTEXTS,
    DEFAULT_EVENT,
    HARDIRQ,
    SOFTIRQ,
    TASK_ATOMIC,
    TASK_PREEMPTIBLE,
    CpuDemand,
    RecordedDemand,
    context_class,
    describe,
    load_demand,
    main,
    parse_ftrace,
    write_demand,
)

ROOT = Path(__file__).resolve().parents[3]
EXCERPT = ROOT / "configs" / "rcuscale-6.1-2cpu.msgpack.gz"

HEADER = """\
# tracer: nop
#
# entries-in-buffer/entries-written: 20/20   #P:2
#
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
"""
BODY = """\
     rcu_preempt-13      [000] d..1.     1.000000: rcu_grace_period: rcu_preempt -8 start
            bash-43      [000] .....     1.000100: kvfree_call_rcu: (kvfree_call_rcu+0x0/0x4b0) ptr=0x8
  a name - odd-44      [001] d..1.     1.000102: kvfree_call_rcu: (kvfree_call_rcu+0x0/0x4b0) ptr=0x8
          <idle>-0       [001] ..s1.     1.000150: kvfree_call_rcu: (kvfree_call_rcu+0x0/0x4b0) ptr=0x8
            bash-43      [000] d.h..     1.000150: kvfree_call_rcu: (kvfree_call_rcu+0x0/0x4b0) ptr=0x8
     kworker/0:1-9       [000] .....     1.000200: fill_page_cache: (fill_page_cache_func+0x0/0x220)
     kworker/0:1-9       [000] .....     1.000201: workqueue_execute_start: work struct ffff: function kfree_rcu_monitor
     rcu_preempt-13      [000] d..1.     1.000300: rcu_grace_period: rcu_preempt -8 end
     rcu_preempt-13      [000] d..1.     1.000310: rcu_grace_period: rcu_preempt -4 start
     rcu_preempt-13      [000] .....     1.000350: rcu_grace_period: rcu_preempt -4 fqsstart
     rcu_preempt-13      [000] d..1.     1.000400: rcu_grace_period: rcu_preempt -4 end
            bash-43      [000] .....     1.000500: kvfree_call_rcu: (kvfree_call_rcu+0x0/0x4b0) ptr=0x8
     kworker/0:1-9       [000] .....     1.000600: kfree_rcu_work: (kfree_rcu_work+0x0/0x3b0)
     kworker/0:1-9       [000] .....     1.000601: rcu_invoke_kfree_bulk_callback: rcu_preempt bulk=0xff nr_records=3
     kworker/0:1-9       [000] .....     1.000602: rcu_invoke_kfree_bulk_callback: rcu_preempt bulk=0xff nr_records=1
     kworker/0:1-9       [000] .....     1.000603: rcu_invoke_kvfree_callback: rcu_preempt rhp=ffff func=8
     rcu_preempt-13      [000] d..1.     1.000700: rcu_grace_period: rcu_preempt 0 start
"""
TEXT = HEADER + BODY


def saved(tmp_path: Path, content: str | bytes, name: str = "trace") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def demand_of(path: Path) -> RecordedDemand:
    """The demand without the name of the file it came from."""
    return dataclasses.replace(load_demand(path), source="")


def test_calls_are_told_by_cpu_time_and_context():
    demand = parse_ftrace(TEXT.splitlines(keepends=True))
    assert [cpu.cpu for cpu in demand.cpus] == [0, 1]
    assert list(demand.cpus[0].calls()) == [(0, TASK_PREEMPTIBLE), (50, HARDIRQ), (400, TASK_PREEMPTIBLE)]
    assert list(demand.cpus[1].calls()) == [(2, TASK_ATOMIC), (50, SOFTIRQ)]
    assert (demand.calls, demand.span_us, demand.event) == (5, 400, DEFAULT_EVENT)


def test_the_kernel_s_answer_is_told_too():
    kernel = parse_ftrace(TEXT.splitlines()).kernel
    assert (kernel.calls, kernel.cpus, kernel.span_us) == (5, 2, 400)
    assert (kernel.bulk_objects, kernel.bnodes, kernel.list_objects, kernel.unaccounted) == (4, 2, 1, 0)
    assert (kernel.worker_runs, kernel.monitor_runs, kernel.work_runs) == (1, 1, 1)
    assert kernel.lost == 0 and kernel.hz is None


def test_only_grace_periods_within_the_span_of_the_demand_count():
    """Period -8 began before the first call, period 0 after the last: neither has a length here."""
    kernel = parse_ftrace(TEXT.splitlines()).kernel
    assert (kernel.gp_started, kernel.gp_ended) == (1, 2)
    assert (kernel.gp_p50_us, kernel.gp_max_us) == (90, 90)


@pytest.mark.parametrize("flags, expected", [
    (".....", TASK_PREEMPTIBLE), (".N...", TASK_PREEMPTIBLE), ("....1", TASK_PREEMPTIBLE), (".n.0.", TASK_PREEMPTIBLE),
    ("d....", TASK_ATOMIC), ("b....", TASK_ATOMIC), ("D....", TASK_ATOMIC), ("...1.", TASK_ATOMIC),
    ("..s..", SOFTIRQ), ("d.s2.", SOFTIRQ), ("d.h1.", HARDIRQ), ("d.H1.", HARDIRQ), ("d.Z..", HARDIRQ),
    ("d.z..", HARDIRQ), ("....", TASK_PREEMPTIBLE), ("d..1", TASK_ATOMIC),
])
def test_flag_columns_give_the_context(flags, expected):
    assert context_class(flags) == expected


def test_older_and_finer_columns_are_read():
    """Four flag columns, a thread group, a time in nanoseconds, a line of the function tracer, a stack trace."""
    demand = parse_ftrace([
        "  cat-7     (    7) [003] d.s1  12.000000999: kvfree_call_rcu: x\n",
        "  cat-7     (-----) [003] ....  12.000004001: kvfree_call_rcu: x\n",
        "  cat-7     (-----) [003] ....  12.000005001: do_sys_open <-sys_open\n",
        "  cat-7     (-----) [003] ....  12.000005001: <stack trace>\n",
        " => vfs_read\n", "\n",
    ])
    assert [(cpu.cpu, list(cpu.calls())) for cpu in demand.cpus] == [(3, [(0, SOFTIRQ), (4, TASK_PREEMPTIBLE)])]


def test_events_that_the_kernel_lost_are_counted():
    overwritten = TEXT.replace("20/20", "20/27").replace("     rcu_preempt-13", "CPU:1 [LOST 5 EVENTS]\n rcu-13", 1)
    assert parse_ftrace(overwritten.splitlines()).kernel.lost == 12
    assert parse_ftrace([*BODY.splitlines(), "CPU:0 [LOST EVENTS]"]).kernel.lost == 1


def test_another_event_can_stand_for_a_call():
    demand = parse_ftrace(TEXT.splitlines(), event="kfree_rcu_work")
    assert (demand.calls, demand.event, demand.kernel.unaccounted) == (1, "kfree_rcu_work", 1 - 5)


def test_plain_packed_and_compact_files_tell_the_same(tmp_path):
    plain = saved(tmp_path, TEXT)
    packed = saved(tmp_path, gzip.compress(TEXT.encode()), "trace.gz")
    write_demand(load_demand(plain), tmp_path / "compact")
    unpacked = saved(tmp_path, gzip.decompress((tmp_path / "compact").read_bytes()), "document")
    assert demand_of(plain) == demand_of(packed) == demand_of(tmp_path / "compact") == demand_of(unpacked)
    assert load_demand(tmp_path / "compact").source == "trace"


cpus = st.dictionaries(
    st.integers(0, 255),
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, len(CONTEXTS) - 1)), min_size=1, max_size=20),
    min_size=1, max_size=4,
)


@settings(max_examples=50, deadline=None)
@given(cpus)
def test_a_compact_document_keeps_every_call(tmp_path_factory, by_cpu):
    calls = tuple(
        CpuDemand(cpu, array("q", sorted(t for t, _ in pairs)), bytes(context for _, context in pairs))
        for cpu, pairs in sorted(by_cpu.items())
    )
    kernel = dataclasses.replace(parse_ftrace(TEXT.splitlines()).kernel, calls=sum(map(len, calls)))
    demand = RecordedDemand(DEFAULT_EVENT, "trace", calls, kernel)
    path = tmp_path_factory.getbasetemp() / "kept"
    write_demand(demand, path)
    assert load_demand(path) == demand


def test_writing_twice_gives_the_same_bytes(tmp_path):
    demand = load_demand(saved(tmp_path, TEXT))
    write_demand(demand, tmp_path / "first")
    write_demand(demand, tmp_path / "second")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


ONE = "  cat-7     [003] .....  12.000001: kvfree_call_rcu: x\n"


@pytest.mark.parametrize("content, says", [
    (b"", "empty"),
    (gzip.compress(b""), "empty"),
    (HEADER, "no events in 6 lines"),
    (BODY.replace("kvfree_call_rcu", "kfree"), "no event kvfree_call_rcu: it holds rcu_grace_period, kfree"),
    (ONE + ONE.replace("000001", "000000"), "line 2: time 12000000 us after 12000001 us on cpu 3"),
    (ONE + "  cat-7     [003] ...", "line 2: 'cat-7     [003] ...' is no line of ftrace text"),
    ("a = 1\n", "line 1: 'a = 1' is no line of ftrace text"),
    (ONE + "  w-9 [000] .....     1.000601: rcu_invoke_kfree_bulk_callback: rcu_preempt\n",
     "line 2: rcu_invoke_kfree_bulk_callback without nr_records"),
    (gzip.compress(TEXT.encode())[:-9], "truncated gzip"),
    (gzip.compress(TEXT.encode())[:5], "truncated gzip"),
    (gzip.compress(TEXT.encode())[:-8] + b"\0" * 8, "damaged gzip"),
    (b"\x1f\x8b\x07" + b"\0" * 20, "damaged gzip"),
    (b"\x80", "neither ftrace text nor a sound demand document"),
    (b"\xff\xfe\x00", "neither ftrace text nor a sound demand document"),
])
def test_what_is_no_recording_is_refused_by_file_and_rule(tmp_path, content, says):
    path = saved(tmp_path, content)
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        load_demand(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_times_of_different_cpus_need_no_common_order():
    earlier = ONE.replace("000001", "000000").replace("003", "002")
    assert [cpu.times_us.tolist() for cpu in parse_ftrace([ONE, earlier]).cpus] == [[0], [1]]


@pytest.mark.parametrize("where", ["missing", "."])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, where):
    with pytest.raises(ConfigError, match="must be a readable trace"):
        load_demand(tmp_path / where)


def test_a_document_of_another_event_is_refused(tmp_path):
    write_demand(load_demand(saved(tmp_path, TEXT)), tmp_path / "compact")
    with pytest.raises(ConfigError, match="holds calls of kvfree_call_rcu, not of kfree"):
        load_demand(tmp_path / "compact", event="kfree")


def document(tmp_path: Path, **changes) -> Path:
    write_demand(load_demand(saved(tmp_path, TEXT)), tmp_path / "compact")
    data = msgpack.unpackb(gzip.decompress((tmp_path / "compact").read_bytes()))
    return saved(tmp_path, msgpack.packb({**data, **changes}), "changed")


@pytest.mark.parametrize("changes, says", [
    ({"version": 2}, "version 2, this program knows 1"),
    ({"format": "other"}, "format 'other'"),
    ({"kernel": {"calls": 5}}, "missing"),
    ({"cpus": []}, "0 calls, its figures say 5"),
    ({"cpus": [{"cpu": 0, "deltas_us": [0, -1, 0, 0, 0], "contexts": [[0, 5]]}]}, "backwards"),
    ({"cpus": [{"cpu": 0, "deltas_us": [0, 1, 0, 0, 0], "contexts": [[0, 4]]}]}, "another number"),
    ({"cpus": [{"cpu": 0, "deltas_us": [0, 1, 0, 0, 0], "contexts": [[4, 5]]}]}, "unknown context"),
    ({"cpus": [{"cpu": 0, "deltas_us": [0, 1, 0, 0], "contexts": [[1, 4]]}]}, "4 calls, its figures say 5"),
    ({"cpus": [{"cpu": 0}]}, "deltas_us"),
    ({"cpus": 3}, "int"),
])
def test_an_unsound_document_is_refused(tmp_path, changes, says):
    assert load_demand(document(tmp_path)).calls == 5
    with pytest.raises(ConfigError, match=says):
        load_demand(document(tmp_path, **changes))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_document_is_read_or_refused_but_nothing_else(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    whole = bytearray(document(folder).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = saved(folder, bytes(whole[: data.draw(st.integers(1, len(whole)))]), "damaged")
    try:
        assert load_demand(path).calls > 0
    except ConfigError as error:
        assert str(error).startswith(str(path))


def test_the_excerpt_is_the_recording_that_its_notes_describe():
    demand = load_demand(EXCERPT)
    assert EXCERPT.stat().st_size < 60_000
    assert [(cpu.cpu, len(cpu)) for cpu in demand.cpus] == [(0, 21_600), (1, 21_600)]
    assert demand.calls == demand.kernel.calls == 2 * 24 * 900
    assert demand.span_us == demand.kernel.span_us == 575_989
    assert min(cpu.times_us[0] for cpu in demand.cpus) == 0
    assert all(set(cpu.contexts) == {TASK_PREEMPTIBLE} for cpu in demand.cpus)


def test_the_excerpt_accounts_for_every_call():
    kernel = load_demand(EXCERPT).kernel
    assert (kernel.bulk_objects, kernel.list_objects) == (41_518, 1_682)
    assert kernel.unaccounted == kernel.lost == 0
    assert kernel.bulk_objects <= 510 * kernel.bnodes
    assert kernel.worker_runs == 2 and kernel.monitor_runs == kernel.work_runs == 48
    assert kernel.gp_started == kernel.gp_ended == 53 and 0 < kernel.gp_p50_us <= kernel.gp_max_us


def test_the_excerpt_shows_the_loops_of_its_load():
    """24 loops of 900 calls by each thread with 15 ms of sleep between them."""
    for cpu in load_demand(EXCERPT).cpus:
        pauses = [i for i in range(1, len(cpu)) if cpu.times_us[i] - cpu.times_us[i - 1] > 12_000]
        assert pauses == list(range(900, 21_600, 900))


def test_the_command_makes_a_document_and_describes_it(tmp_path, capsys):
    out = tmp_path / "out.msgpack.gz"
    assert main([str(saved(tmp_path, TEXT)), str(out)]) == 0
    assert load_demand(out).calls == 5
    assert describe(load_demand(out)) in capsys.readouterr().out


def test_the_command_refuses_calls_without_an_answer_unless_told_to_take_them(tmp_path, capsys):
    short = saved(tmp_path, TEXT.replace("nr_records=3", "nr_records=2"))
    out = tmp_path / "out"
    assert main([str(short), str(out)]) == 2
    assert "1 of 5 calls unaccounted" in capsys.readouterr().err
    assert not out.exists()
    assert main([str(short), str(out), "--unbalanced"]) == 0
    assert load_demand(out).kernel.unaccounted == 1


def test_the_command_says_why_it_cannot_write(tmp_path, capsys):
    assert main([str(saved(tmp_path, TEXT)), str(tmp_path / "no" / "out")]) == 2
    assert "No such file or directory: must be writable" in capsys.readouterr().err


def test_the_module_runs_as_a_program(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "emu.workload.ftrace", str(saved(tmp_path, "")), str(tmp_path / "out")],
        cwd=ROOT, env={**os.environ, "EMU_JIT": "0"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip().endswith("record it again") and "Traceback" not in done.stderr
