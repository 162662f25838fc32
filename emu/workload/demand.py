"""The load of one mutator: what it is to do, and how far it has come.

Holds   LOAD, one record per emulated CPU: settings written at boot, progress written by the mutator.
Rule    shares and cumulative weights are 32-bit fractions. Times are nanoseconds of the run's clock.
"""

from emu.arch import jit
from emu.shm import MAP, line, region, struct
from emu.sync import CONTEXT_NAMES, LOCK

FLOOD, CONSTANT, POISSON, BURST, RCUSCALE, REPLAY = 0, 1, 2, 3, 4, 5
KINDS = {"flood": FLOOD, "constant": CONSTANT, "poisson": POISSON, "burst": BURST, "rcuscale": RCUSCALE,
         "replay": REPLAY}
MAX_SIZES = 16
N_CONTEXTS = len(CONTEXT_NAMES)
CONTEXT_BITS = 3  # a schedule word is time << CONTEXT_BITS | context

LOAD = struct(
    "load",
    line("boot()", "kind", "interval_ns", "call_cost_ns", "resched_every", "one_arg", "vmalloc", "mixed_contexts",
         ("contexts", N_CONTEXTS), "sample_every", "max_calls", "takes_part", "sheaves"),
    line("boot()", "burst_calls", "gap_ns", "period_ns", "loops", "alloc_num", "loop_sleep_ns",
         "schedule", "schedule_len", "schedule_span", "pause_ns", "repeat", "whole_burst", "live", "slots",
         "busy_gap_ns"),
    line("boot()", "reader_every", "reader_ns", "cross_cpu", "nr_sizes", ("sizes", MAX_SIZES)),
    line("mutator", "random", "calls", "cursor", "reader_left", "sample_left", "resched_left", "in_section",
         "next_vmstat"),
    line("mutator", "due", "left", "position", "round", "base", "loop", "in_burst", "done"),
    line("mutator; boot(): hot_next from time zero", "hot_next", "hot_away_ns", "hot_repeat_ns", "hot_total_ns"),
    line("mutator", "t_start", "t_finish", "mem_begin", "mem_during", "gp_begin", "gp_finish",
         ("by_context", N_CONTEXTS)),
    line("the raw lock of callers that hold one", ("raw_lock", LOCK.SIZE)),
    line("mutator, at the end of the first pass of a recording", "pass_calls", "pass_list", "pass_sync"),
)


@jit
def load_of(seg, cpu):
    """Word offset of a CPU's load."""
    return region(seg, MAP.workload) + cpu * LOAD.SIZE
