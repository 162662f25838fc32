"""What a request for pages may do: its gfp bits, and the allocation flags that the kernel makes of them.

Holds   GFP_*, ALLOC_*, gfp_to_alloc_flags(), gfp_pfmemalloc_flags().
Rule    a caller says what it may do (gfp); who it is (PROC.flags) and the kernel's generation (memory.reserve_rule) say
        the rest. ALLOC_HARDER is of the older generation (v5.9 to v6.1) alone, ALLOC_NON_BLOCK of the newer one.
Limits  names are the kernel's, values ours. A request without direct reclaim stands for __GFP_ATOMIC of v5.9 as well.
After   Linux include/linux/gfp_types.h, mm/internal.h, gfp_to_alloc_flags() in mm/page_alloc.c (KF 3.3).
"""

from emu.arch import jit, load_relaxed
from emu.shm import MAP, PF_MEMALLOC, PF_OOM_VICTIM, PF_RT, PROC, line, proc_of, region, struct

# What the request may do.
GFP_DIRECT_RECLAIM, GFP_KSWAPD_RECLAIM, GFP_HIGH, GFP_NORETRY, GFP_NOMEMALLOC, GFP_NOWARN, GFP_MEMALLOC = (
    1, 2, 4, 8, 16, 32, 64)
GFP_IO, GFP_FS, GFP_RETRY_MAYFAIL, GFP_NOFAIL, GFP_THISNODE, GFP_ZERO, GFP_DMA, GFP_DMA32 = (
    1 << 7, 1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14)
GFP_KERNEL = GFP_DIRECT_RECLAIM | GFP_KSWAPD_RECLAIM | GFP_IO | GFP_FS
GFP_NOFS = GFP_DIRECT_RECLAIM | GFP_KSWAPD_RECLAIM | GFP_IO
GFP_NOIO = GFP_DIRECT_RECLAIM | GFP_KSWAPD_RECLAIM
GFP_NOWAIT = GFP_KSWAPD_RECLAIM
GFP_ATOMIC = GFP_HIGH | GFP_KSWAPD_RECLAIM
GFP_KERNEL_NORETRY = GFP_KERNEL | GFP_NORETRY | GFP_NOMEMALLOC | GFP_NOWARN
GFP_BY_NAME = {
    "kernel": GFP_KERNEL | GFP_NOWARN,
    "kernel-noretry": GFP_KERNEL_NORETRY,
    "nowait": GFP_NOWAIT | GFP_NOWARN,
    "atomic": GFP_ATOMIC | GFP_NOWARN,
}

# Which mark a walk over the zonelist looks at (the low two bits), and what it may do beyond it.
ALLOC_WMARK_MIN, ALLOC_WMARK_LOW, ALLOC_WMARK_HIGH, ALLOC_WMARK_MASK = 0, 1, 2, 3
ALLOC_NO_WATERMARKS, ALLOC_MIN_RESERVE, ALLOC_HARDER, ALLOC_NON_BLOCK = 4, 8, 16, 32
ALLOC_OOM, ALLOC_TRYLOCK, ALLOC_NO_LOCKS, ALLOC_HIGHATOMIC, ALLOC_KSWAPD = 64, 128, 256, 512, 1024
ALLOC_RESERVES = ALLOC_HARDER | ALLOC_NON_BLOCK | ALLOC_OOM  # these may use pages kept for high-order atomics

RESERVE_V59, RESERVE_V63 = 0, 1
RESERVE_RULES = {"v5.9": RESERVE_V59, "v6.3": RESERVE_V63}
DRAIN_WORK, DRAIN_REMOTE = 0, 1
DRAIN_RULES = {"work": DRAIN_WORK, "remote": DRAIN_REMOTE}

CFG_MEMORY = struct("cfg_memory", line("boot()", "reserve_rule", "drain_rule", "boost_factor"))


@jit
def cfg_memory(seg):
    """Word offset of what all zones share."""
    return region(seg, MAP.cfg_memory)


@jit
def gfp_to_alloc_flags(seg, gfp, me):
    """ALLOC_* of the slow path's ordinary walk for process `me`: MIN, lowered by what the flags may eat."""
    flags = ALLOC_WMARK_MIN
    if gfp & GFP_HIGH != 0:
        flags |= ALLOC_MIN_RESERVE
    if gfp & GFP_KSWAPD_RECLAIM != 0:
        flags |= ALLOC_KSWAPD
    newer = seg[cfg_memory(seg) + CFG_MEMORY.reserve_rule] == RESERVE_V63
    if gfp & GFP_DIRECT_RECLAIM == 0:
        if gfp & GFP_NOMEMALLOC == 0:
            if newer:
                flags |= ALLOC_NON_BLOCK | ALLOC_HIGHATOMIC
            elif gfp & GFP_HIGH != 0:
                flags |= ALLOC_HARDER | ALLOC_HIGHATOMIC
    elif load_relaxed(seg, proc_of(seg, me) + PROC.flags) & PF_RT != 0:
        flags |= ALLOC_MIN_RESERVE if newer else ALLOC_HARDER
    return flags


@jit
def gfp_pfmemalloc_flags(seg, gfp, me):
    """ALLOC_NO_WATERMARKS for who frees memory, ALLOC_OOM for who is being killed for it, 0 for everybody else."""
    if gfp & GFP_NOMEMALLOC != 0:
        return 0
    mine = load_relaxed(seg, proc_of(seg, me) + PROC.flags)
    if gfp & GFP_MEMALLOC != 0 or mine & PF_MEMALLOC != 0:
        return ALLOC_NO_WATERMARKS
    return ALLOC_OOM if mine & PF_OOM_VICTIM != 0 else 0
