"""Tracepoints: ids are stable words of the slot, names and arguments are told apart."""

from emu.trace import EV, EVENT_NAMES, EVENTS


def test_ids_and_names_belong_together():
    assert all(EVENT_NAMES[getattr(EV, name)] == name for name in EVENTS)
    assert len(EVENT_NAMES) == EV.SIZE == len(EVENTS) + 1


def test_no_event_has_the_id_of_an_untouched_slot():
    assert EV.none == 0 and "none" not in EVENTS


def test_every_event_says_what_it_means_and_names_arguments_from_the_first_on():
    for event in EVENTS.values():
        assert event.meaning
        assert event.a or not event.b


def test_events_of_the_kernel_name_their_twin():
    for name in ("rcu_fqs", "rcu_invoke_kfree_bulk_callback", "mm_page_pcpu_drain", "mm_page_alloc_extfrag"):
        assert EVENTS[name].twin.endswith(":" + name)
    assert EVENTS["kfree_rcu_monitor"].twin == "kfree_rcu_monitor()"
    assert {name for name, event in EVENTS.items() if not event.twin} == {
        "rcu_kvfree_miss", "refill_doorbell", "refill_done", "first_hit", "preempt_resched", "stood_aside",
        "burst_start", "burst_end", "fault", "app_exit", "psi_event",
    }
