"""Which emulated CPUs are online, and whose page lists a process uses meanwhile.

Rule    a CPU's own mutator alone says whether it is online. A worker bound to a CPU that is offline runs as the
        housekeeping CPU, as an unbound kworker would: it looks at every step.
Edges   cpu.online   what the CPU gave up before it is seen offline
After   Linux kernel/cpu.c, unbind_workers() in kernel/workqueue.c.
"""

from emu.arch import jit, load_acquire, store_release
from emu.shm import HEADER, PROC, proc_of
from emu.sync.preempt import CPU, cpu_of


@jit
def cpu_online(seg, cpu):
    """1 while the CPU is online. ACQ cpu.online: the word before what the CPU left. Pairs with set_cpu_online()."""
    return load_acquire(seg, cpu_of(seg, cpu) + CPU.online)


@jit
def set_cpu_online(seg, cpu, online):
    """Say that the CPU is online, or not. Its mutator only."""
    # REL cpu.online: what it gave up, or took, before the word. Pairs with ACQ in cpu_online().
    store_release(seg, cpu_of(seg, cpu) + CPU.online, online)


@jit
def pcp_cpu_now(seg, pcp_cpu):
    """`pcp_cpu` itself, or the housekeeping CPU while it is offline."""
    cpus = seg[HEADER.nr_cpus]
    return pcp_cpu if pcp_cpu >= cpus or cpu_online(seg, pcp_cpu) != 0 else cpus


@jit
def worker_pcp_cpu(seg, me):
    """The CPU of the machine that process `me` runs as now."""
    return pcp_cpu_now(seg, seg[proc_of(seg, me) + PROC.pcp_cpu])
