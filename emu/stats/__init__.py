"""What happened, how often and how long: counters and histograms in the shared segment.

Door of the room. Each process writes its own block; anyone reads, live or after the end. Knows no meaning
beyond the names.
"""

from emu.stats.histogram import (
    HIST,
    HIST_BLOCK,
    HIST_COUNTS,
    HIST_MAX,
    HIST_NAMES,
    HIST_UNITS,
    HIST_WORDS,
    Bucket,
    Histogram,
    hist_count,
    hist_index,
    hist_record,
    hist_record_n,
    histograms_words,
    read_histogram,
    read_histograms,
)
from emu.stats.vmstat import (
    VM,
    VM_MEANING,
    VM_NAMES,
    VM_WORDS,
    count,
    count_n,
    counter,
    counters_words,
    read_counters,
    sum_counters,
)

__all__ = [
    "Bucket", "HIST", "HIST_BLOCK", "HIST_COUNTS", "HIST_MAX", "HIST_NAMES", "HIST_UNITS", "HIST_WORDS", "Histogram",
    "VM", "VM_MEANING", "VM_NAMES", "VM_WORDS", "count", "count_n", "counter", "counters_words", "hist_count",
    "hist_index", "hist_record", "hist_record_n", "histograms_words", "read_counters", "read_histogram",
    "read_histograms", "sum_counters",
]
