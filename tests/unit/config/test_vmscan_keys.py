"""[vmscan], [apps], [monitor]: what is filled in, what is refused."""

import pytest

from emu.errors import ConfigError
from tests.small_machine import small_scenario


def test_a_machine_with_nothing_to_reclaim_does_not_reclaim():
    vmscan = small_scenario().vmscan
    assert (vmscan.kswapd, vmscan.direct_reclaim, vmscan.psi) == (False, False, False)


def test_applications_bring_kswapd_and_direct_reclaim():
    vmscan = small_scenario("apps.count=1").vmscan
    assert (vmscan.kswapd, vmscan.direct_reclaim, vmscan.psi) == (True, True, True)


def test_the_keys_beat_the_formula():
    vmscan = small_scenario("apps.count=1", "vmscan.kswapd=false").vmscan
    assert (vmscan.kswapd, vmscan.direct_reclaim) == (False, True)


def test_scores_are_dealt_in_turn():
    assert small_scenario("apps.count=5", "apps.pages=100", "apps.oom_score_adj=[0, 900]").apps.oom_score_adj == (
        0, 900, 0, 900, 0)


@pytest.mark.parametrize("overrides, told", [
    (("apps.count=1", "apps.file_share=0.5"), "must sum to 1, and sum to 0.9"),
    (("apps.count=3", "apps.pages=1000"), "more than the 2048 pages of memory"),
    (('monitor.kind="lmkd"',), "there is nobody to kill"),
    (("apps.count=1", 'monitor.kind="lmkd"', "monitor.window_ms=500", "monitor.complete_stall_ms=700"),
     "must be at most monitor.window_ms = 500"),
    (("apps.oom_score_adj=[-1001]",), "apps.oom_score_adj"),
])
def test_what_cannot_work_is_refused(overrides, told):
    with pytest.raises(ConfigError, match=told.replace("(", r"\(")):
        small_scenario(*overrides)


def test_what_nobody_reclaims_is_remarked():
    notes = small_scenario("apps.count=1", "vmscan.kswapd=false", "vmscan.direct_reclaim=false").notes
    assert any("nobody reclaims" in note for note in notes)
    assert any("zram_pages = 0" in note for note in notes)
