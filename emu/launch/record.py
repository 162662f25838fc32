"""The record of a run: what is known before it, what was measured, the verdict.

Holds   begin_record(), fill_record(), judge().
Rule    fill_record() reads; nobody of the run is alive, or nobody is asked.
"""

import time

from emu import __version__
from emu.arch import JIT, late_compilations
from emu.config import Resolved, Scenario, as_record
from emu.host import DaemonPlacement, DmaLatencyGuard, Placement, disturbances, host_record
from emu.launch.children import Child
from emu.launch.collect import collect_run, fault_text, first_pass, process_row
from emu.launch.collect_series import note_sampler_cost
from emu.launch.run import Options, Run
from emu.results import blank_record
from emu.workload.ftrace import RecordedDemand

EXIT_OK, EXIT_INVALID, EXIT_INCOMPLETE = 0, 1, 3
INTERPRETED = "interpreted (EMU_JIT=0): operations are not atomic between processes; for debugging only"
COMPILED_LATE = "{} times, a process met a function that was not compiled, and stood still for it: a fault of emu"


def begin_record(resolved: Resolved, scenario: Scenario, options: Options, placement: Placement,
                 daemons: DaemonPlacement, topology, dma) -> dict:
    """The part of the record that is known before the run."""
    values, provenance = as_record(resolved)
    record = blank_record()
    record |= {
        "emu_version": __version__, "created_unix": time.time(), "command": options.command,
        "scenario": {"path": str(scenario.path), "text": scenario.text, "resolved": values, "provenance": provenance},
        "duration_ns": resolved.run.duration_ns,
        "host": host_record(topology, dma if isinstance(dma, DmaLatencyGuard) else None),
        "marks": ([] if JIT else [INTERPRETED]) + [*placement.notes, *daemons.notes, *resolved.notes],
        "dma_latency": {"held": dma.held, "reason": dma.reason},
    }
    record["disturbances"] = [d.what for d in disturbances(topology, placement.cores)]
    return record


def judge(run: Run) -> int:
    """Set the verdict of a filled record; returns the exit code that goes with it."""
    record = run.record
    fault = fault_text(run.machine.seg, run.plan)
    broken = [fault] if fault else [f"{r['name']}: {r['detail']}" for r in record["invariants"] if not r["ok"]]
    if broken:
        record["verdict"] = {"word": "INVALID", "reasons": broken + run.reasons}
        return EXIT_INVALID
    if run.reasons:
        record["verdict"] = {"word": "INCOMPLETE", "reasons": run.reasons}
        return EXIT_INCOMPLETE
    record["verdict"] = {"word": "VALID", "reasons": []}
    return EXIT_OK


def fill_record(run: Run, complete: bool) -> None:
    """Everything measured, into the record."""
    record, machine = run.record, run.machine
    if run.zero_ns:
        machine.settle_stocks(run.end_ns)
    record["start_ns"] = run.zero_ns
    record["elapsed_ns"] = max(0, run.end_ns - run.zero_ns) if run.zero_ns else 0
    record["clock"] = machine.clock
    record["degraded"] = machine.degraded
    record["host"]["membarrier"] = machine.membarrier
    record["stalls"] = run.stalls.rows
    if late := late_compilations() - run.compiled_late:
        record["marks"].append(COMPILED_LATE.format(late))
    collect_run(machine.seg, run.plan, record, complete)
    record["processes"] = [describe(run, child) for child in machine.children]
    note_sampler_cost(record)
    record["cgroup"] = None
    if machine.bandwidth:
        record["cgroup"] = {"cpu_max": machine.bandwidth.limit, "roles": list(run.resolved.cgroup.roles),
                            **machine.bandwidth.figures()}
    if run.demand is not None:
        record["recorded"] = recorded_figures(run.demand)
        record["first_pass"] = first_pass(machine.seg, run.plan)


def describe(run: Run, child: Child) -> dict:
    """One row of the process table."""
    role, seen = run.plan.roles[child.index], child.seen
    row = {
        "name": role.name, "role": role.name.split("/")[0], "cpu": role.cpu if role.cpu >= 0 else None,
        "cores": child.wanted.get("cores", []), "pid": child.pid, "class": seen.get("class"),
        "priority": seen.get("priority"), "nice": seen.get("nice"), "last_core": seen.get("last_cpu"),
        "exit": child.describe_end(), "run_ns": seen.get("run_ns"), "run_delay_ns": seen.get("run_delay_ns"),
        "voluntary_switches": seen.get("voluntary_switches"), "involuntary_switches": seen.get("involuntary_switches"),
        "private_kib": seen["private_dirty_bytes"] // 1024 if seen.get("private_dirty_bytes") is not None else None,
    }
    return row | process_row(run.machine.seg, run.plan, role)


def recorded_figures(demand: RecordedDemand) -> dict:
    """The recorded kernel's own figures."""
    kernel = demand.kernel
    return {
        "source": demand.source, "calls": kernel.calls, "list_objects": kernel.list_objects, "bnodes": kernel.bnodes,
        "bulk_objects": kernel.bulk_objects, "grace_periods": kernel.gp_ended, "worker_runs": kernel.worker_runs,
        "monitor_runs": kernel.monitor_runs, "work_runs": kernel.work_runs, "span_us": kernel.span_us,
    }
