"""CPU bandwidth in a tree of files that stands for cgroup v2: what is written where, what is refused, what is left."""

import os

import pytest

from emu.errors import HostError
from emu.host.cgroup import PREFIX, CpuBandwidth, own_group, sweep_cgroups


@pytest.fixture
def tree(tmp_path):
    """A cgroup with the cpu controller handed down, and the file that says it is ours."""
    group = tmp_path / "fs" / "user"
    group.mkdir(parents=True)
    (group / "cgroup.controllers").write_text("cpu memory")
    (group / "cgroup.subtree_control").write_text("cpu")
    (tmp_path / "self").write_text("4:memory:/x\n0::/user\n")
    return tmp_path


def bandwidth(tree, quota=20_000):
    return CpuBandwidth(quota, 100_000, tree / "fs", tree / "self")


def test_the_limit_is_written_into_a_group_of_our_own(tree):
    group = bandwidth(tree)
    assert group.folder == tree / "fs" / "user" / f"{PREFIX}{os.getpid()}"
    assert (group.folder / "cpu.max").read_text() == "20000 100000"
    group.attach(4711)
    assert (group.folder / "cgroup.procs").read_text() == "4711"
    (group.folder / "cpu.stat").write_text("usage_usec 5\nnr_periods 2\nnr_throttled 1\nthrottled_usec 9\nuser_x 1\n")
    assert group.figures() == {"usage_usec": 5, "nr_periods": 2, "nr_throttled": 1, "throttled_usec": 9}


def test_the_controller_is_handed_down_where_it_is_not_yet(tree):
    control = tree / "fs" / "user" / "cgroup.subtree_control"
    control.write_text("memory")
    bandwidth(tree)
    assert control.read_text() == "+cpu"


@pytest.mark.parametrize(("controllers", "said"), [
    ("memory", "has no cpu controller"), (None, "no cgroup of version 2"),
])
def test_a_host_without_it_is_refused_with_the_reason_and_a_way_out(tree, controllers, said):
    file = tree / "fs" / "user" / "cgroup.controllers"
    file.unlink() if controllers is None else file.write_text(controllers)
    with pytest.raises(HostError, match=said) as caught:
        bandwidth(tree)
    assert "--degrade" in str(caught.value)


def test_a_group_that_cannot_be_made_is_refused(tree):
    (tree / "fs" / "user" / f"{PREFIX}{os.getpid()}").mkdir()
    with pytest.raises(HostError, match="cannot be set in"):
        bandwidth(tree)


def test_the_group_is_removed_and_again_is_nothing(tree):
    group = bandwidth(tree)
    for file in group.folder.iterdir():  # a kernel's own files go with their folder
        file.unlink()
    group.remove()
    assert not group.folder.exists()
    group.remove()


def test_what_a_dead_launcher_left_is_swept(tree):
    (tree / "fs" / "user" / f"{PREFIX}999999999").mkdir()
    (tree / "fs" / "user" / f"{PREFIX}{os.getpid()}").mkdir()
    assert sweep_cgroups(tree / "fs", tree / "self") == [f"{PREFIX}999999999"]
    assert sweep_cgroups(tree / "nowhere", tree / "self") == []


def test_the_root_group_is_that_of_a_process_without_a_line(tree):
    (tree / "self").write_text("1:cpu:/\n")
    (tree / "fs" / "cgroup.controllers").write_text("cpu")
    assert own_group(tree / "fs", tree / "self") == tree / "fs"
