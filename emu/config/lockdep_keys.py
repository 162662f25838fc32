"""[lockdep]: whether the emulated lockdep judges locks, and what a violation does to the call.

Holds   the section's record; where preemption is counted (preempt_count()).
After   Linux CONFIG_PROVE_LOCKING, CONFIG_PROVE_RAW_LOCK_NESTING, CONFIG_PREEMPT_COUNT (KF 4.8).
"""

from typing import Literal

from emu.config.schema_base import Section


class Lockdep(Section, frozen=True):
    """on_violation: "auto" fails what would hang or sleep here, and counts the rest; "fail" fails all; "count" none."""

    enabled: bool = True
    on_violation: Literal["auto", "fail", "count"] = "auto"


def preempt_count(preemption: str) -> bool:
    """Whether a kernel of this model counts: preemptible models do, the others are built without."""
    return preemption in ("full", "rt")


def lockdep_remarks(resolved, scenario):
    """What is worth knowing about contexts and counting."""
    contexts = resolved.workload.contexts
    if contexts.nmi:
        yield ("workload.contexts.nmi: kvfree_rcu() is not legal there; such a call is refused, counted, and made "
               "from the interrupt that follows")
    takes_lock = any(name in ("nowait", "atomic") for name in resolved.policy.sources)
    if contexts.zone_lock and takes_lock and not resolved.lockdep.enabled:
        yield ("workload.contexts.zone_lock with a source that takes zone->lock, and lockdep.enabled = false: the run "
               "will stop with a self-deadlock")
