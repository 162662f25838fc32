"""Results: one run is one versioned file; its histograms can be read without the emulator.

Door of the room. Light on purpose: no Numba, no segment, so that a result opens anywhere and at once.
"""

from emu.results.buckets import COUNTS_LEN, HIGHEST_TRACKABLE, Buckets, highest_of, index_of, lowest_of
from emu.results.comparison import (
    COMPARISON_FORMAT,
    COMPARISON_VERSION,
    blank_comparison,
    is_comparison,
    read_comparison,
    write_comparison,
)
from emu.results.record import (
    FORMAT,
    MAX_FILE_BYTES,
    MIGRATIONS,
    VERSION,
    blank_record,
    check_record,
    pack_result,
    read_result,
    unpack_result,
    write_result,
)

__all__ = [
    "blank_comparison", "blank_record", "Buckets", "check_record", "COMPARISON_FORMAT", "COMPARISON_VERSION",
    "COUNTS_LEN", "FORMAT", "highest_of", "HIGHEST_TRACKABLE", "index_of", "is_comparison", "lowest_of",
    "MAX_FILE_BYTES", "MIGRATIONS", "pack_result", "read_comparison", "read_result", "unpack_result", "VERSION",
    "write_comparison", "write_result",
]
