"""Memory pressure on real processes: reclaim, the OOM killer, lmkd, panic."""

PRESSURE = "configs/pressure.toml"
# Anonymous memory that nothing takes: applications grow until somebody has to die.
NO_SWAP = ("run.duration_ms=2000", "vmscan.zram_pages=0", "apps.anon_share=0.9", "apps.file_share=0.1",
           "apps.resident_share=0.6", "apps.touches_per_s=20000")


def total(record, counter):
    """A counter over all processes."""
    at = record["counters"]["names"].index(counter)
    return sum(row[at] for row in record["counters"]["per_process"].values())


def test_a_flood_on_a_full_machine_goes_below_low_and_kswapd_reclaims(emu):
    record = emu.valid(PRESSURE, "run.duration_ms=1500")
    assert record["zone"]["nr_free_min"] < record["zone"]["low"]
    kswapd = record["vmscan"]["kswapd"][0]
    assert kswapd["pageoutrun"] > 0 < kswapd["pgsteal_kswapd"] and kswapd["active_ns"] > 0
    assert total(record, "workingset_refault_file") > 0
    assert record["vmscan"]["psi"]["some_ns"] >= record["vmscan"]["psi"]["full_ns"]
    assert total(record, "kfree_rcu_shrink_count") > 0
    assert record["ledger"]["lru"] == sum(app["rss"] for app in record["vmscan"]["apps"])


def test_a_machine_without_swap_kills_the_highest_score_and_goes_on(emu):
    record = emu.valid(PRESSURE, *NO_SWAP)
    kills = record["vmscan"]["kills"]
    assert kills and kills[0]["cause"] == "oom" and kills[0]["app"] == 3
    assert kills[0]["exited_ns"] >= kills[0]["at_ns"] > 0
    assert record["vmscan"]["apps"][3]["rss"] == 0
    assert len(kills) == total(record, "oom_kill")


def test_panic_on_oom_ends_the_run_incomplete_with_the_reason(emu):
    program = emu.run(PRESSURE, *NO_SWAP, "vmscan.panic_on_oom=1")
    assert program.code == 3, program.told()
    assert program.record["verdict"]["word"] == "INCOMPLETE"
    assert "out of memory and vmscan.panic_on_oom is set" in program.record["verdict"]["reasons"][0]


def test_lmkd_kills_before_the_kernel_does(emu):
    record = emu.valid(PRESSURE, *NO_SWAP, 'monitor.kind="lmkd"', "monitor.window_ms=200",
                       "monitor.partial_stall_ms=5", "monitor.complete_stall_ms=50")
    assert record["vmscan"]["monitor"]["looks"] > 0
    assert any(kill["cause"] == "lmkd" for kill in record["vmscan"]["kills"]), record["vmscan"]["kills"]
