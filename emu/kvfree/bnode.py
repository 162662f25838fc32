"""bnode: one page of retired pointers.

Rule    words of its page: 0 the next older bnode, 1 nr_records, then (in epochs with cookies) 2 gp_snap, 3 the next
        newer bnode, 4 spare, then the records. The short header of two words has no cookie.
        510 records fill a page behind a header of two words, 507 behind five.
After   Linux struct kvfree_rcu_bulk_data (KF 2.4, 2.5).
"""

from emu.arch import jit
from emu.mm import PAGE, PAGE_WORDS, page_of, pfn_of
from emu.shm import record

BNODE = record("bnode", "older", "nr_records", "gp_snap", "newer", "spare")
SHORT_HEADER = 2
LONG_HEADER = BNODE.SIZE
MAX_RECORDS_SHORT = PAGE_WORDS - SHORT_HEADER  # 510
MAX_RECORDS_LONG = PAGE_WORDS - LONG_HEADER  # 507


def header_words(records: int, polled: bool) -> int:
    """Header length for a capacity; polled cookies need the long one."""
    if polled or records <= MAX_RECORDS_LONG:
        return LONG_HEADER
    return SHORT_HEADER


@jit
def bnode_init(seg, bnode, older, header):
    """Open an empty bnode in front of `older` (0: none)."""
    seg[bnode + BNODE.older] = older
    seg[bnode + BNODE.nr_records] = 0
    if header == LONG_HEADER:
        seg[bnode + BNODE.newer] = 0
        if older != 0:
            seg[older + BNODE.newer] = bnode


@jit
def bnode_open(seg, bnode, now):
    """The first record follows: note when. A bnode's page is on no list, so its links are free for it."""
    seg[page_of(seg, pfn_of(bnode)) + PAGE.prev] = now


@jit
def bnode_opened_at(seg, bnode):
    """When the bnode got its first record."""
    return seg[page_of(seg, pfn_of(bnode)) + PAGE.prev]


@jit
def bnode_seal(seg, bnode, now):
    """No further record will come: note when."""
    seg[page_of(seg, pfn_of(bnode)) + PAGE.stamp] = now


@jit
def bnode_sealed_at(seg, bnode):
    """When the bnode got its last record, or was taken away from the krc."""
    return seg[page_of(seg, pfn_of(bnode)) + PAGE.stamp]
