"""CPU bandwidth for a group of processes: a cgroup of our own with cpu.max set, removed on every way out.

Holds   CpuBandwidth: create, attach, figures, remove; sweep_cgroups() for what a killed launcher left.
Rule    what cannot be set is a HostError that names what is missing, before any process is started; what was set is
        read back. The group lies in the caller's own group: limits from above stay in force.
Limits  cgroup v2 only. Where the caller's group has processes of its own, the kernel lets only the root group hand the
        cpu controller down.
After   Linux Documentation/admin-guide/cgroup-v2.rst (cpu.max, cpu.stat, cgroup.subtree_control).
"""

import os
import re
from pathlib import Path

from emu.errors import HostError

ROOT, SELF = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
PREFIX = "emu-kvfree-"
_WAY_OUT = ("run where cgroup v2 is mounted writable with the cpu controller (systemd-run --user --scope -p "
            "Delegate=yes emu ...), or with --degrade, which runs without the limit and marks the result")


def own_group(root: Path = ROOT, self_file: Path = SELF) -> Path:
    """The folder of the caller's cgroup of version 2. HostError where there is none that has the cpu controller."""
    try:
        match = re.search(r"^0::(/.*)$", self_file.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        match = None
    folder = root / match[1].lstrip("/") if match else root
    try:
        controllers = (folder / "cgroup.controllers").read_text(encoding="utf-8").split()
    except OSError:
        raise HostError(f"CPU bandwidth: no cgroup of version 2 at {folder}; {_WAY_OUT}") from None
    if "cpu" not in controllers:
        raise HostError(f"CPU bandwidth: the cgroup {folder} has no cpu controller (it has "
                        f"{', '.join(controllers) or 'none'}); {_WAY_OUT}")
    return folder


class CpuBandwidth:
    """A cgroup in which all processes together get quota_us of CPU time in every period_us."""

    def __init__(self, quota_us: int, period_us: int, root: Path = ROOT, self_file: Path = SELF):
        self.folder = own_group(root, self_file) / f"{PREFIX}{os.getpid()}"
        self.limit = f"{quota_us} {period_us}"
        self._made = False
        try:
            self._create()
        except OSError as error:
            self.remove()
            raise HostError(f"CPU bandwidth: cpu.max = {self.limit!r} cannot be set in {self.folder}: "
                            f"{error.strerror}; {_WAY_OUT}") from error

    def _create(self) -> None:
        control = self.folder.parent / "cgroup.subtree_control"
        if "cpu" not in control.read_text(encoding="utf-8").split():
            control.write_text("+cpu", encoding="utf-8")
        self.folder.mkdir()
        self._made = True
        limit = self.folder / "cpu.max"
        limit.write_text(self.limit, encoding="utf-8")
        got = limit.read_text(encoding="utf-8").strip()
        if got != self.limit:
            self.remove()
            raise HostError(f"CPU bandwidth: asked for cpu.max = {self.limit!r}, the kernel gave {got!r}; use figures "
                            "that it keeps, whole microseconds")

    def attach(self, pid: int) -> None:
        """Put a process under the limit. HostError where the kernel refuses."""
        try:
            (self.folder / "cgroup.procs").write_text(str(pid), encoding="utf-8")
        except OSError as error:
            raise HostError(f"CPU bandwidth: process {pid} cannot be moved into {self.folder}: {error.strerror}; "
                            f"{_WAY_OUT}") from error

    def figures(self) -> dict[str, int]:
        """cpu.stat: usage_usec, nr_periods, nr_throttled, throttled_usec; {} when it cannot be read."""
        try:
            lines = (self.folder / "cpu.stat").read_text(encoding="utf-8").split("\n")
        except OSError:
            return {}
        pairs = (line.split() for line in lines if line)
        return {name: int(value) for name, value in pairs if name.endswith(("_usec", "_periods", "_throttled"))}

    def remove(self) -> None:
        """Remove the group. After its last process has ended; again: nothing."""
        if self._made:
            self._made = not _removed(self.folder)


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return not folder.exists()
    return True


def sweep_cgroups(root: Path = ROOT, self_file: Path = SELF) -> list[str]:
    """Remove groups of launchers that are dead; their names."""
    try:
        folder = own_group(root, self_file)
    except HostError:
        return []
    gone = []
    for each in folder.glob(f"{PREFIX}*"):
        pid = each.name.removeprefix(PREFIX)
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and _removed(each):
            gone.append(each.name)
    return gone
