"""One run from a resolved scenario to a record: start, watch, end in order, whatever happens.

Holds   run_scenario().
Rule    a dead process ends the run at once, with everything measured so far; a stopped one is a stall, named and
        timed. A first signal ends the run in order, a second one at once. Nothing is left behind on any way out:
        while there is a segment or a child, a signal is counted and looked at, and never raises.
"""

import gc
import os
import select
import signal
import time
from contextlib import suppress

from emu.arch import late_compilations
from emu.boot import make_plan
from emu.config import Resolved, Scenario
from emu.errors import EmuError, ResultError
from emu.host import (
    DaemonPlacement,
    DmaLatencyGuard,
    Placement,
    choose_cores,
    place_daemons,
    read_topology,
    set_timer_slack,
    sweep_cgroups,
)
from emu.launch.children import Child
from emu.launch.collect_vmscan import panic_text
from emu.launch.compile import compile_all
from emu.launch.guard import Guard
from emu.launch.machine import Machine
from emu.launch.others import check_others, take_bandwidth, with_sampler
from emu.launch.record import begin_record, fill_record, judge
from emu.launch.run import Options, Outcome, Run
from emu.launch.signals import EarlySignal, Interrupted, Signals
from emu.launch.stalls import StallWatch
from emu.policy import load_user_sources
from emu.results import write_result
from emu.shm import sweep_stale
from emu.workload.ftrace import load_demand

LOOK_S = 0.05
DRAIN_LIMIT_S = 30.0
DRAIN_AFTER_SIGNAL_S = 3.0
STOP_GRACE_S = 2.0
ABORT_GRACE_S = 0.5
REMEMBER_AT_START = 32  # with more processes than this, /proc is read at the end only


def run_scenario(resolved: Resolved, scenario: Scenario, options: Options) -> Outcome:
    """Run it and write its result file. Raises EmuError for what keeps it from starting."""
    with Signals() as signals:
        try:
            sweep_cgroups()
            for name in sweep_stale():
                options.say(f"removed {name}, the shared memory of a run whose launcher had died")
            topology = read_topology()
            placement, daemons = choose_places(resolved, scenario, topology)
            resolved = with_sampler(resolved, placement, daemons)
            demand = None
            if resolved.workload.kind == "replay":
                demand = load_demand(resolved.workload.replay.trace_path, resolved.workload.replay.event)
            with signals.held():
                load_user_sources(resolved.policy.user_sources)
            with signals.held():
                mains = compile_all(resolved, options.say, lambda: signals.count > 0)
            plan = make_plan(resolved, demand)
            signals.counted = True
        except EarlySignal:
            raise Interrupted(signals.number) from None
        signals.check()  # a library may have swallowed the exception
        with DmaLatencyGuard() if resolved.run.dma_latency_guard else NoGuard() as dma:
            machine = Machine(plan, mains)
            try:
                machine.bandwidth = take_bandwidth(resolved, scenario, machine.degraded)
                record = begin_record(resolved, scenario, options, placement, daemons, topology, dma)
                run = Run(resolved, scenario, options, plan, machine, StallWatch(machine.seg, plan), demand, placement,
                          daemons, record)
                return carry_out(run, signals)
            finally:
                machine.tear_down()


def choose_places(resolved: Resolved, scenario: Scenario, topology) -> tuple[Placement, DaemonPlacement]:
    """Cores for mutators and daemons; a refusal names the key that asked for them."""
    key, spec = "cpus.cores", resolved.cpus.cores
    try:
        placement = choose_cores(spec, topology, resolved.cpus.count)
        key, spec = "cpus.housekeeping", resolved.cpus.housekeeping
        daemons = place_daemons(spec, topology, placement.cores)
    except EmuError as error:
        raise type(error)(f"{scenario.path}: {key} = {spec!r}: {error}") from None
    check_others(resolved, scenario, topology, placement)
    return placement, daemons


class NoGuard:
    """run.dma_latency_guard = false."""

    held = False
    reason = "not asked for (run.dma_latency_guard = false)"

    def __enter__(self) -> "NoGuard":
        return self

    def __exit__(self, *_exc: object) -> None:
        """Nothing was held."""


def carry_out(run: Run, signals: Signals) -> Outcome:
    """From the segment to the written result."""
    machine = run.machine
    machine.boot()
    run.compiled_late = late_compilations()
    signals.check()
    set_timer_slack(1)
    gc.collect()
    gc.freeze()  # children share these pages; a collection in one of them would copy them
    guard = Guard(machine.segment, run.plan, lambda: finish_for_dead_launcher(run))
    watched = [guard.child]
    try:
        machine.start_children(run.placement, run.daemons, guard.forget_in_child, signals.check)
        watched += machine.children
        if machine.wait_parked(lambda: not signals.count and not dead(watched)):
            if len(machine.children) <= REMEMBER_AT_START:
                machine.remember_children()
            machine.calibrate()
            run.zero_ns = machine.release()
            run.stalls.start(run.zero_ns)
            watch(run, signals, watched)
        if not run.zero_ns:
            signals.check()
        finish(run, signals, watched)
        return conclude(run, signals)
    finally:
        gc.unfreeze()
        guard.dismiss()


def dead(children: list[Child]) -> list[Child]:
    """Children that have ended, reaped."""
    gone = []
    for child in children:
        if child.alive:
            with suppress(ChildProcessError):
                pid, status = os.waitpid(child.pid, os.WNOHANG)
                if pid:
                    child.status = status
        if not child.alive:
            gone.append(child)
    return gone


def watch(run: Run, signals: Signals, watched: list[Child]) -> None:
    """While it runs: look for deaths, stalls and signals, show progress, until it is time to drain."""
    machine, duration = run.machine, run.resolved.run.duration_ns / 1e9
    progress = run.options.progress(duration)
    poll = make_poll(watched)
    try:
        while True:
            now = (time.monotonic_ns() - run.zero_ns) / 1e9
            if now >= duration or signals.count or machine.aborted() or machine.mutators_done():
                return
            poll.poll(int(min(LOOK_S, max(0.001, duration - now)) * 1000))
            if note_deaths(run, watched):
                return
            run.stalls.look(watched)
            progress.update(max(0.0, (time.monotonic_ns() - run.zero_ns) / 1e9), *machine.progress())
    finally:
        progress.close()


def make_poll(watched: list[Child]):
    """A poll object that wakes when any child ends."""
    poll = select.poll()
    for child in watched:
        poll.register(child.pidfd, select.POLLIN)
    return poll


def note_deaths(run: Run, watched: list[Child]) -> bool:
    """True, with the reasons noted, if a process died that should live, or the emulated machine as a whole."""
    gone = dead(watched)
    if (panic := panic_text(run.machine.seg, run.plan)) and panic not in run.reasons:
        run.reasons.append(panic)
        return True
    if run.machine.aborted():
        gone = [child for child in gone if child.status != 0]  # a fault stops the run: whoever saw it has left in order
    for child in gone:
        at = (time.monotonic_ns() - run.zero_ns) / 1e9 if run.zero_ns else 0.0
        how = child.describe_end()
        verb = f"killed by {how}" if how.startswith("signal") else f"ended by itself with status {how}"
        run.reasons.append(f"{child.name} {verb} at {at:.3f} s")
    return bool(gone)


def finish(run: Run, signals: Signals, watched: list[Child]) -> None:
    """End the run: in order when everybody lives, at once when somebody died."""
    machine = run.machine
    run.end_ns = time.monotonic_ns()
    if not run.reasons and not note_deaths(run, watched) and not machine.aborted() and run.zero_ns:
        drain_in_order(run, signals, watched)
    machine.clock_error()
    if run.reasons or machine.aborted() or not run.zero_ns:
        machine.remember_children()
        machine.abort(ABORT_GRACE_S)
    else:
        machine.remember_children()
        killed = machine.stop(STOP_GRACE_S)
        run.reasons += [f"{name} did not leave within {STOP_GRACE_S:.0f} s and was killed" for name in killed]
    run.stalls.close(watched)


def drain_in_order(run: Run, signals: Signals, watched: list[Child]) -> None:
    """Mutators stop, batches are reclaimed; limited in time, and given up at a second signal."""
    machine = run.machine
    machine.drain()
    limit = DRAIN_AFTER_SIGNAL_S if signals.count else DRAIN_LIMIT_S
    deadline = time.monotonic() + limit
    mutators_seen = False
    while not machine.drained():
        if machine.mutators_done() and not mutators_seen:
            mutators_seen = True
            run.end_ns = time.monotonic_ns()
            machine.drain()  # again: rings the daemons, which may have looked too early
        if note_deaths(run, watched) or machine.aborted():
            return
        if signals.count > 1:
            run.reasons.append("not drained: a second signal came")
            return
        run.stalls.look(watched)
        if time.monotonic() > deadline:
            run.reasons.append(f"not drained {limit:.0f} s after the end of the load")
            return
        time.sleep(0.002)


def conclude(run: Run, signals: Signals) -> Outcome:
    """Collect, judge, write."""
    complete = not run.reasons and not run.machine.aborted() and run.zero_ns != 0
    fill_record(run, complete)
    if signals.count:
        run.reasons.insert(0, f"stopped by {signal.Signals(signals.number).name} at {run.seconds:.3f} s")
    code = judge(run)
    if signals.count:
        code = 128 + signals.number
    try:
        path = write_result(run.record, run.options.output)
    except ResultError as error:  # the figures of a long run are not lost with its file: the report is printed
        return Outcome(run.record, None, error.exit_code, str(error))
    return Outcome(run.record, path, code)


def finish_for_dead_launcher(run: Run) -> None:
    """In the guard, forked before any child: the launcher is gone, its run is INCOMPLETE.

    The process table comes from the segment; what the launcher alone had noted is gone with it, and marked so.
    """
    machine = run.machine
    run.end_ns = time.monotonic_ns()
    run.zero_ns = machine.time_zero()
    run.reasons.append(f"launcher killed at {run.seconds:.3f} s, and every process with it")
    run.record["marks"].append("the guard wrote this result: stalls and CPU times died with the launcher")
    if run.resolved.run.degrade:
        machine.degraded.append("not known: the launcher, which asked for the scheduling classes, was killed")
    machine.adopt_dead_children(run.placement, run.daemons)
    fill_record(run, complete=False)
    judge(run)
    write_result(run.record, run.options.output)
    if machine.bandwidth:
        machine.bandwidth.remove()
