"""Who else is on the machine: users of memory, hogs, the sampler."""

from emu.arch import Words
from emu.boot.plan import Plan
from emu.config import Resolved, ResolvedMark, ResolvedUser, hog_seats
from emu.mm import GFP_BY_NAME, GFP_MEMALLOC, GFP_NOWARN, MIGRATE_MOVABLE, MIGRATE_UNMOVABLE, NO_PAGE, ZONE
from emu.policy import pools_in_all
from emu.shm import HOG, MAP, MAP_BASE, USER
from emu.users import HOG_SLOT, SAMPLE, SERIES, USER_KINDS, USR

USER_GFP = GFP_BY_NAME | {"memalloc": GFP_MEMALLOC | GFP_NOWARN}
MOVABLE = ("filler", "cache")  # pages of user space and of files


def users_regions(resolved: Resolved) -> dict[str, int]:
    """Words of the regions of users and hogs."""
    return {
        "users": len(resolved.users) * USR.SIZE,
        "hogs": len(hog_seats(resolved.hogs)) * HOG_SLOT.SIZE,
        "series": SERIES.SIZE + resolved.series.samples_max * SAMPLE.SIZE if resolved.series.on else 0,
    }


def boot_users(seg: Words, plan: Plan) -> None:
    """What each user, each hog and the sampler is to do. After boot_memory(): marks are looked up in the zones."""
    users, hogs = plan.of_kind(USER), plan.of_kind(HOG)
    for role, user in zip(users, plan.resolved.users, strict=True):
        boot_user(seg, plan, role.index, plan.user(role.number), user)
    for role, seat in zip(hogs, hog_seats(plan.resolved.hogs), strict=True):
        hog = plan.resolved.hogs[seat.hog]
        words = plan.hog(role.number)
        seg[words + HOG_SLOT.busy_ns] = round(hog.busy_ms * 1e6)
        seg[words + HOG_SLOT.idle_ns] = round(hog.idle_ms * 1e6)
        seg[words + HOG_SLOT.start_ns] = hog.start_ms * 1_000_000
    if plan.resolved.series.on:
        series = plan.offsets["series"]
        seg[series + SERIES.interval_ns] = plan.resolved.series.interval_ns
        seg[series + SERIES.rows_max] = plan.resolved.series.samples_max
        seg[series + SERIES.pools] = pools_in_all(plan.cpus)
        seg[series + SERIES.users] = len(users)


def boot_user(seg: Words, plan: Plan, proc: int, words: int, user: ResolvedUser) -> None:
    """The settings of one user, which is process `proc`."""
    values = {
        "kind": USER_KINDS[user.kind],
        "proc": proc,
        "cpu": user.cpu,
        "pcp_cpu": user.cpu if user.cpu >= 0 else plan.cpus,
        "interval_ns": user.interval_ns,
        "pages": user.pages,
        "order": user.order,
        "burst": user.burst,
        "hold_ns": user.hold_us * 1000,
        "gfp": USER_GFP[user.gfp],
        "migratetype": MIGRATE_MOVABLE if user.kind in MOVABLE else MIGRATE_UNMOVABLE,
        "start_ns": user.start_ms * 1_000_000,
        "low_pages": mark_pages(seg, plan, user.low_mark),
        "high_pages": mark_pages(seg, plan, user.high_mark),
        "head": NO_PAGE,
        "random": plan.resolved.run.seed + proc,
    }
    for name, value in values.items():
        seg[words + getattr(USR, name)] = value


def mark_pages(seg: Words, plan: Plan, mark: ResolvedMark) -> int:
    """A mark in pages, over all zones."""
    whole = 0
    if mark.mark:
        zones = plan.offsets["zones"]
        at = {"min": ZONE.wmark_min, "low": ZONE.wmark_low, "high": ZONE.wmark_high}[mark.mark]
        whole = sum(seg[zones + i * ZONE.SIZE + at] for i in range(seg[MAP_BASE + MAP.nr_zones]))
    return max(0, whole * mark.permille // 1000 + mark.pages)
