"""Pinning and scheduling of real child processes, read back from the kernel."""

import os
import subprocess
import sys
import textwrap
import threading

import msgpack
import pytest

from emu.errors import ConfigError, HostError
from emu.host import CLASSES, can_use_fifo, pin, process_state, read_back, set_scheduling

MASK = sorted(os.sched_getaffinity(0))


@pytest.fixture
def child():
    """A process that waits until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    yield process
    process.stdin.close()
    process.stdout.close()
    process.wait()


@pytest.fixture
def ended():
    """The pid of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def run_unprivileged(code: str) -> str:
    """Run code in a process that has given up what would let it raise its priority; what it printed."""
    before = """
        import os, resource
        import emu.host
        from emu.errors import HostError
        from emu.host import affinity, can_use_fifo, pin, set_scheduling
        resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
        resource.setrlimit(resource.RLIMIT_NICE, (0, 0))
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        except PermissionError:
            pass  # there is nothing to give up
    """
    script = textwrap.dedent(before) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("core", MASK[:4])
def test_a_pinned_child_runs_on_its_core(child, core):
    pin(child.pid, [core])
    facts = read_back(child.pid)
    assert facts["cores"] == [core]
    assert os.sched_getaffinity(child.pid) == {core}


def test_a_child_may_be_given_back_the_whole_mask(child):
    pin(child.pid, MASK[:1])
    pin(child.pid, MASK)
    assert read_back(child.pid)["cores"] == MASK


def test_a_process_that_pins_itself_is_on_that_core_at_once():
    script = "import os; from emu.host import pin, read_back; pin(0, [{0}]); print(read_back(0)['last_cpu'])"
    out = subprocess.check_output([sys.executable, "-c", script.format(MASK[-1])], text=True)
    assert int(out) == MASK[-1]


def test_every_thread_of_a_process_is_pinned():
    release, masks = threading.Event(), []

    def body():
        release.wait()
        masks.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=body)
    thread.start()
    try:
        pin(os.getpid(), MASK[:1])
        release.set()
        thread.join()
    finally:
        release.set()
        pin(os.getpid(), MASK)
    assert masks == [{MASK[0]}]


def test_a_core_the_host_lacks_is_refused(child):
    absent = 4000
    with pytest.raises(HostError, match=f"process {child.pid}.*{absent}.*emu topology"):
        pin(child.pid, [absent])
    assert read_back(child.pid)["cores"] == MASK


def test_a_mask_that_the_kernel_trims_is_seen(child):
    with pytest.raises(HostError, match="emu topology"):
        pin(child.pid, [MASK[0], 4000])  # the kernel alone would accept this and drop the second


def test_a_process_that_is_gone_is_named(ended):
    for call in (lambda: pin(ended, MASK), lambda: set_scheduling(ended, "other"), lambda: read_back(ended)):
        with pytest.raises(HostError, match=f"process {ended} is gone"):
            call()


@pytest.mark.parametrize("cls", ["batch", "idle", "other"])
def test_a_class_and_nice_are_set_and_read_back(child, cls):
    set_scheduling(child.pid, cls, nice=7)
    facts = read_back(child.pid)
    assert (facts["class"], facts["priority"], facts["nice"]) == (cls, 0, 7)
    assert os.sched_getscheduler(child.pid) == CLASSES[cls]


@pytest.mark.privileged
@pytest.mark.skipif(not can_use_fifo(), reason="needs CAP_SYS_NICE")
@pytest.mark.parametrize("cls", ["fifo", "rr"])
def test_a_realtime_class_is_set_and_read_back(child, cls):
    set_scheduling(child.pid, cls, priority=3)
    facts = read_back(child.pid)
    assert (facts["class"], facts["priority"]) == (cls, 3)
    set_scheduling(child.pid, "other")
    assert read_back(child.pid)["class"] == "other"


@pytest.mark.privileged
@pytest.mark.skipif(not can_use_fifo(), reason="needs CAP_SYS_NICE")
def test_reset_on_fork_survives_a_class_change(child):
    os.sched_setscheduler(child.pid, os.SCHED_BATCH | os.SCHED_RESET_ON_FORK, os.sched_param(0))
    set_scheduling(child.pid, "fifo", priority=1)
    assert os.sched_getscheduler(child.pid) == os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
    assert read_back(child.pid)["class"] == "fifo"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("turbo",), ["turbo", "other, batch, idle, fifo, rr"]),
        (("other", 5), ["priority = 5", "must be 0"]),
        (("fifo", 0), ["priority = 0", "1..99"]),
        (("rr", 100), ["priority = 100", "1..99"]),
        (("batch", 0, 20), ["nice = 20", "-20..19"]),
    ],
)
def test_values_outside_the_rules_are_refused_before_anything_is_set(child, arguments, words):
    before = read_back(child.pid)["class"]
    with pytest.raises(ConfigError) as caught:
        set_scheduling(child.pid, *arguments)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert read_back(child.pid)["class"] == before


def test_probing_for_fifo_changes_nothing():
    before = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
    assert can_use_fifo() in (True, False)
    assert (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority) == before


def test_missing_privilege_names_the_capability_and_the_way_out():
    out = run_unprivileged("""
        print(can_use_fifo())
        for arguments in (("fifo", 2), ("other", 0, -5)):
            try:
                set_scheduling(0, *arguments)
            except HostError as error:
                print(error)
    """)
    probe, fifo, nice = out.strip().splitlines()
    assert probe == "False"
    assert all(word in fifo for word in ("class fifo", "CAP_SYS_NICE", "RLIMIT_RTPRIO of at least 2", "--degrade"))
    assert all(word in nice for word in ("nice -5", "CAP_SYS_NICE", "RLIMIT_NICE of at least 25", "--degrade"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user's process")
def test_another_users_process_is_not_pinned(child):
    out = run_unprivileged(f"""
        try:
            pin({child.pid}, {MASK[:1]})
        except HostError as error:
            print(error)
        if os.geteuid() == 0:
            print("still root")
    """)
    if "still root" in out:
        pytest.skip("this root may not become another user")
    assert f"process {child.pid}" in out and "not permitted" in out


def test_read_back_counts_what_a_process_did():
    first = read_back(0)
    for _ in range(200_000):
        pass
    os.sched_yield()
    second = read_back(os.getpid())
    assert second["last_cpu"] in MASK
    assert second["voluntary_switches"] >= first["voluntary_switches"]
    if second["run_ns"] is not None:
        assert second["run_ns"] > first["run_ns"] and second["timeslices"] >= 1
        assert second["run_delay_ns"] >= first["run_delay_ns"]
    assert second["rss_bytes"] > second["private_dirty_bytes"] > 0
    assert msgpack.unpackb(msgpack.packb(second)) == second


def test_a_name_with_brackets_does_not_shift_the_fields():
    script = """
        import os, ctypes
        from emu.host import process_state, read_back
        ctypes.CDLL(None).prctl(15, b"a) Z (b", 0, 0, 0)  # PR_SET_NAME
        print(process_state(os.getpid()), read_back(0)["last_cpu"])
    """
    out = subprocess.check_output([sys.executable, "-c", textwrap.dedent(script)], text=True)
    state, core = out.split()
    assert state == "running" and int(core) in MASK


def test_a_dead_process_has_no_state_but_dead(ended):
    assert process_state(ended) == "dead"
