"""Results: one run is one versioned file; its histograms can be read without the emulator.

Door of the room. Light on purpose: no Numba, no segment, so that a result opens anywhere and at once.
"""

from emu.results.buckets import COUNTS_LEN, HIGHEST_TRACKABLE, Buckets, highest_of, index_of, lowest_of
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
    "Buckets", "COUNTS_LEN", "FORMAT", "HIGHEST_TRACKABLE", "MAX_FILE_BYTES", "MIGRATIONS", "VERSION",
    "blank_record", "check_record", "highest_of", "index_of", "lowest_of", "pack_result", "read_result",
    "unpack_result", "write_result",
]
