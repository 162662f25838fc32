"""What processes and emulated CPUs have: the process table, CPU records, scratch, counters, histograms, trace."""

from emu.arch import Words
from emu.boot.plan import UNBOUND, Plan, Role, scheduling_of
from emu.config import Resolved
from emu.mm import SCRATCH_WORDS
from emu.shm import MUTATOR, PAGE_REFILL, PF_RT, PROC, RECLAIM, USER
from emu.stats import counters_words, histograms_words
from emu.sync import CPU, NOBODY
from emu.trace import MODES, init_trace, trace_words


def process_regions(resolved: Resolved, procs: int) -> dict[str, int]:
    """Words of the regions of so many processes and the scenario's CPUs."""
    return {
        "procs": procs * PROC.SIZE,
        "cpus": resolved.cpus.count * CPU.SIZE,
        "scratch": procs * SCRATCH_WORDS,
        "counters": counters_words(procs),
        "histograms": histograms_words(procs),
        "trace": trace_words(procs, resolved.trace.events_per_process),
    }


def is_realtime(plan: Plan, role: Role) -> bool:
    """Whether the scenario puts the process into a real-time class: such a task may go below MIN."""
    settings = scheduling_of(role, plan.resolved)
    return settings is not None and settings.sched_class in ("fifo", "rr")


def boot_procs(seg: Words, plan: Plan) -> None:
    """The process table, which processes belong to which CPU, and the trace buffers."""
    cpus, trace = plan.cpus, plan.resolved.trace
    init_trace(seg, len(plan.roles), trace.events_per_process, MODES[trace.mode])
    for cpu in range(cpus):
        words = plan.cpu(cpu)
        seg[words + CPU.refill] = seg[words + CPU.reclaim] = NOBODY
        seg[words + CPU.online] = 1
    for role in plan.roles:
        proc = plan.proc(role.index)
        seg[proc + PROC.role] = role.kind
        seg[proc + PROC.cpu] = role.cpu
        seg[proc + PROC.index] = role.number
        seg[proc + PROC.core] = NOBODY
        seg[proc + PROC.pcp_cpu] = role.cpu if role.cpu != UNBOUND else cpus
        if is_realtime(plan, role):
            seg[proc + PROC.flags] = PF_RT
        if role.cpu != UNBOUND:
            words = plan.cpu(role.cpu)
            which = {MUTATOR: CPU.mutator, PAGE_REFILL: CPU.refill, RECLAIM: CPU.reclaim}.get(role.kind)
            if which is not None:
                seg[words + which] = role.index
            elif role.kind == USER:  # tasks of the CPU, in a chain: let in where its mutator may be preempted
                seg[proc + PROC.sibling] = seg[words + CPU.users]
                seg[words + CPU.users] = role.index + 1
