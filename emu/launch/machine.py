"""A machine on this host: segment, clock, processes in their places, from start line to last exit.

Holds   Machine: bring up, release, watch, drain, stop, tear down. No policy of what a run means: supervisor.py.
Rule    every method may be called after any other has failed; tear_down() always leaves nothing behind.
"""

import os
import signal
import time
from collections.abc import Callable

from emu.arch import (
    Words,
    invariant_counter,
    membarrier_error,
    register_membarrier,
    sample_pair,
)
from emu.boot import Plan, Role, boot, scheduling_of
from emu.config import Resolved, hog_seats
from emu.errors import HostError
from emu.host import CpuBandwidth, DaemonPlacement, Placement
from emu.kvfree import KRC
from emu.launch.children import Child, fork_child, has_ended, place, populate, remember, wait_any
from emu.launch.collect_policy import settle_pools, stamp_pools
from emu.mm import PAGE_WORDS
from emu.policy import POLICY, STOCK
from emu.rcu import RCU, gp_is_clean
from emu.shm import (
    ABORT,
    BOOT,
    DRAIN,
    DRAINED,
    EXITED,
    HEADER,
    HOG,
    MUTATOR,
    PARKED,
    PROC,
    ROLE_NAMES,
    RUN,
    STOP,
    USER,
    Segment,
    process_start_time,
)
from emu.stats import VM, VM_WORDS
from emu.sync import proc_ring

START_LEAD_NS = 2_000_000  # from the launcher's word to time zero, plus a share per process
START_LEAD_PER_PROC_NS = 60_000
PARK_LIMIT_S = 60.0
UNMAP_LIMIT_S = 30.0
NOISE_NS = 20_000_000
CALIBRATE_AT_LEAST_NS = 50_000_000


class Machine:
    """One emulated machine. Created in the launcher; brings up children that share its segment."""

    def __init__(self, plan: Plan, mains: dict[int, Callable]):
        self.plan = plan
        self.segment = Segment.create(plan.size_words)
        self.seg: Words = self.segment.words
        self.children: list[Child] = []
        self.guard: Child | None = None
        self.degraded: list[str] = []
        self.bandwidth: CpuBandwidth | None = None
        self.clock = {"kind": "monotonic", "error_ppm": 0.0}
        self.membarrier = "available"
        self._mains = mains
        self._pair = sample_pair(50)

    # --- bring up ---

    def boot(self) -> None:
        """Write the machine into the segment."""
        if self.plan.resolved.memory.prefault:
            populate(self.seg.addr, 8 * self.plan.size_words)
        boot(self.seg, self.plan)
        if not register_membarrier():
            self.membarrier = f"missing ({membarrier_error()}): workers that stand aside look again every 10 ms"

    def start_children(self, placement: Placement, daemons: DaemonPlacement, in_child: Callable[[], None],
                       check: Callable[[], None] = lambda: None) -> None:
        """Fork every process of the plan, put it in its place and class, verified.

        in_child: run first in each of them. check: called before each, may raise. A child that is killed meanwhile
        ends the starting; wait_parked() finds it.
        """
        seg = self.seg
        seg[HEADER.noise_ns] = 0 if placement.overcommitted else NOISE_NS
        page_bytes = 8 * PAGE_WORDS
        pool_pages = self.plan.size_words // PAGE_WORDS - self.plan.first_pfn
        pool = (seg.addr + page_bytes * self.plan.first_pfn, page_bytes * pool_pages)
        for role in self.plan.roles:
            check()
            main = self._mains[role.kind]

            def work(main: Callable = main, index: int = role.index) -> None:
                in_child()
                register_membarrier()
                if self.plan.resolved.memory.prefault:
                    populate(*pool)
                main(seg, index)

            child = fork_child(role.name, role.index, work)
            self.children.append(child)
            proc = self.plan.proc(role.index)
            seg[proc + PROC.pid] = child.pid
            seg[proc + PROC.start_time] = process_start_time(child.pid) or 0
            cores = cores_of(role, self.plan.resolved, placement, daemons)
            sched = scheduling_of(role, self.plan.resolved)
            settings = {"class": sched.sched_class, "priority": sched.priority, "nice": sched.nice}
            try:
                self.degraded += place(child, cores, settings, self.plan.resolved.run.degrade)
            except HostError:
                if has_ended(child):
                    return
                raise
            if self.bandwidth and ROLE_NAMES[role.kind] in self.plan.resolved.cgroup.roles:
                self.bandwidth.attach(child.pid)
            seg[proc + PROC.core] = cores[0] if len(cores) == 1 else -1
            seg[proc + PROC.placed] = 1  # REL proc.placed: the kernel's own calls above order it. Pairs with settle()
            proc_ring(seg, role.index)

    def wait_parked(self, still_well: Callable[[], bool]) -> bool:
        """Wait until every child stands at the start line; False when still_well() says stop."""
        deadline = time.monotonic() + PARK_LIMIT_S
        while not all(self.state(role.index) == PARKED for role in self.plan.roles):
            if not still_well():
                return False
            if time.monotonic() > deadline:
                waiting = [r.name for r in self.plan.roles if self.state(r.index) != PARKED]
                raise HostError(f"{', '.join(waiting[:5])}: not ready after {PARK_LIMIT_S:.0f} s; the host is too "
                                "loaded, use fewer CPUs or other cores")
            time.sleep(0.001)
        return True

    def state(self, index: int) -> int:
        """PROC.state of a process."""
        return self.seg[self.plan.proc(index) + PROC.state]

    def calibrate(self) -> None:
        """Choose the clock. The cycle counter, where it is invariant and wanted, is scaled against CLOCK_MONOTONIC."""
        wanted = self.plan.resolved.run.clock
        if wanted == "monotonic" or (wanted == "auto" and not invariant_counter()):
            return
        if wanted == "cycles" and not invariant_counter():
            raise HostError('run.clock = "cycles": this host\'s cycle counter is not its clock source, or not '
                            'invariant; use "auto" or "monotonic"')
        ns_from, cycles_from = self._pair
        short = CALIBRATE_AT_LEAST_NS - (time.monotonic_ns() - ns_from)
        if short > 0:
            time.sleep(short / 1e9)
        ns_to, cycles_to = sample_pair(50)
        self.seg[HEADER.clock_cycles] = cycles_to
        self.seg[HEADER.clock_ns] = ns_to
        self.seg[HEADER.clock_mult] = ((ns_to - ns_from) << 32) // (cycles_to - cycles_from)
        self.clock = {"kind": "cycles", "error_ppm": 0.0}

    def clock_error(self) -> None:
        """How far the run's clock has drifted from CLOCK_MONOTONIC, in parts per million."""
        mult = self.seg[HEADER.clock_mult]
        if mult:
            ns, cycles = sample_pair(50)
            span = ns - self.seg[HEADER.clock_ns]
            read = (cycles - self.seg[HEADER.clock_cycles]) * mult >> 32
            self.clock["error_ppm"] = abs(read - span) / max(1, span) * 1e6

    # --- run ---

    def release(self) -> int:
        """Set time zero and the end, and let everybody go. Returns time zero, in ns."""
        lead = START_LEAD_NS + START_LEAD_PER_PROC_NS * len(self.children) + self.seg[HEADER.noise_ns]
        zero = time.monotonic_ns() + lead
        self.seg[HEADER.t_zero] = zero
        self.seg[HEADER.t_end] = zero + self.plan.resolved.run.duration_ns
        for cpu in range(self.plan.cpus):
            self.seg[self.plan.stock(cpu) + STOCK.stamp] = zero  # footprints count from here
        stamp_pools(self.seg, self.plan, zero)
        self.set_state(RUN)
        return zero

    def set_state(self, state: int) -> None:
        """Move the run on and ring every bell."""
        if self.seg[HEADER.run_state] != ABORT:
            self.seg[HEADER.run_state] = state
        for role in self.plan.roles:
            proc_ring(self.seg, role.index)

    def drain(self) -> None:
        """Mutators stop; the daemons run kvfree_rcu_barrier(). Again: rings everybody once more."""
        if self.seg[HEADER.run_state] in (BOOT, RUN, DRAIN):
            self.set_state(DRAIN)

    def mutators_done(self) -> bool:
        """Every mutator has made its last call."""
        return all(self.state(r.index) >= DRAINED for r in self.plan.of_kind(MUTATOR))

    def drained(self) -> bool:
        """Mutators are done, all that they retired is freed, and no grace period runs or is asked for.

        By the books: a daemon that found nothing left may have looked before the last call.
        """
        if not self.mutators_done() or any(self.state(r.index) < DRAINED for r in self.plan.of_kind(USER)):
            return False
        retired = self.total(VM.kvfree_bulk) + self.total(VM.kvfree_fallback_list)
        freed = sum(self.seg[self.plan.krc(cpu) + KRC.freed] for cpu in range(self.plan.cpus))
        rcu = self.plan.offsets["rcu"]
        asked = self.seg[rcu + RCU.gp_needed] > self.seg[rcu + RCU.gp_seq]
        return freed >= retired and not asked and gp_is_clean(self.seg) != 0

    def aborted(self) -> bool:
        """A fault, or a death, has ended the run."""
        return self.seg[HEADER.run_state] == ABORT

    def total(self, counter: int) -> int:
        """A counter over all processes, as of now."""
        base = self.plan.offsets["counters"] + counter
        return sum(self.seg[base + r.index * VM_WORDS] for r in self.plan.roles)

    def time_zero(self) -> int:
        """Time zero, in ns; 0 if the run was never released."""
        return self.seg[HEADER.t_zero] if self.seg[HEADER.run_state] != BOOT else 0

    def progress(self) -> tuple[int, int, int]:
        """(calls, fallbacks, grace periods) so far."""
        return (self.total(VM.kvfree_calls), self.total(VM.kvfree_fallback_list) + self.total(VM.kvfree_fallback_sync),
                self.total(VM.rcu_gp_end))

    # --- the end ---

    def remember_children(self) -> None:
        """Note what the host says of every living child."""
        for child in self.children:
            if child.alive:
                remember(child)

    def stop(self, grace_s: float) -> list[str]:
        """Stop everybody; whoever has not made its last step within `grace_s` is killed. Returns the names of those.

        A process that has made it only gives its memory back, which takes as long as it takes.
        """
        self.set_state(STOP)
        wait_any(self.children, grace_s)
        killed = []
        for child in self.children:
            if child.alive and self.state(child.index) != EXITED:
                killed.append(child.name)
                kill(child)
        wait_any(self.children, UNMAP_LIMIT_S)
        return killed

    def abort(self, grace_s: float) -> None:
        """End at once: something died, or an invariant broke."""
        self.seg[HEADER.run_state] = ABORT
        self.stop(grace_s)

    def adopt_dead_children(self, placement: Placement, daemons: DaemonPlacement) -> None:
        """In the guard: the children of a dead launcher, as the segment knows them. The kernel killed them with it."""
        for role in self.plan.roles:
            if pid := self.seg[self.plan.proc(role.index) + PROC.pid]:
                child = Child(role.name, pid, -1, role.index, status=signal.SIGKILL)
                child.wanted = {"cores": cores_of(role, self.plan.resolved, placement, daemons)}
                self.children.append(child)

    def settle_stocks(self, end_ns: int) -> None:
        """Bring every CPU's page-second integrals up to the end of the load. After the last child has ended."""
        seg = self.seg
        reserve = seg[self.plan.offsets["policy"] + POLICY.static_pages]
        settle_pools(seg, self.plan, end_ns)
        for cpu in range(self.plan.cpus):
            stock = self.plan.stock(cpu)
            span = max(0, end_ns - seg[stock + STOCK.stamp])
            seg[stock + STOCK.stamp] += span
            seg[stock + STOCK.held_ns] += span * seg[stock + STOCK.held]
            seg[stock + STOCK.cache_ns] += span * seg[stock + STOCK.nr_cached]
            seg[stock + STOCK.static_ns] += span * (reserve - seg[stock + STOCK.static_out])

    def tear_down(self) -> None:
        """Leave nothing: no process, no descriptor, no segment."""
        for child in self.children:
            if child.alive:
                kill(child)
        wait_any(self.children, 5.0)
        for child in self.children:
            os.close(child.pidfd)
        self.children = []
        if self.bandwidth:
            self.bandwidth.remove()
        self.segment.unlink()
        self.segment.close()


def cores_of(role: Role, resolved: Resolved, placement: Placement, daemons: DaemonPlacement) -> list[int]:
    """Where a process belongs: where the scenario names cores for it, else on its emulated CPU's core, or on any of the
    housekeeping cores."""
    if role.kind == USER:
        wanted = resolved.users[role.number].cores
        if not isinstance(wanted, str):
            return list(wanted)
        if wanted == "housekeeping":
            return list(daemons.cores)
    if role.kind == HOG and (core := hog_seats(resolved.hogs)[role.number].core) >= 0:
        return [core]
    return [placement.cores[role.cpu]] if role.cpu >= 0 else list(daemons.cores)


def kill(child: Child) -> None:
    """SIGKILL through the pidfd: never another process that got the same number."""
    try:
        signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass
