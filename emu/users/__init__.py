"""Who else is on the machine: users of memory beside kvfree_rcu(), hogs of cores, the sampler of the time series.

Door of the room. Each is a process of its own whose step is here and whose loop is in workers/.
"""

from emu.users.hog import HOG_SLOT, hog_of, hog_run
from emu.users.kinds import user_step
from emu.users.series import SAMPLE, SERIES, ZONE_COLUMNS, sample_step
from emu.users.user import USER_KIND_NAMES, USER_KINDS, USR, user_begin, user_finish, user_of

__all__ = [
    "HOG_SLOT", "SAMPLE", "SERIES", "ZONE_COLUMNS", "sample_step",
    "USR", "USER_KINDS", "USER_KIND_NAMES", "hog_of", "hog_run", "user_begin", "user_finish",
    "user_of", "user_step",
]
