"""The kernel's formulas give the kernel's figures."""

import pytest

from emu.config import formulas


@pytest.mark.parametrize(
    "managed, free_kbytes, marks",
    [(473_600, 5505, (1376, 1849, 2322)), (245_760, 3965, (991, 1238, 1485))],
)
def test_marks_of_a_phone_and_of_a_board(managed, free_kbytes, marks):
    assert formulas.min_free_kbytes(managed) == free_kbytes
    assert formulas.watermarks(managed, free_kbytes, 10) == marks


def test_min_free_is_clamped_at_both_ends():
    assert formulas.min_free_kbytes(100) == 128
    assert formulas.min_free_kbytes(2**34) == 262_144


@pytest.mark.parametrize("managed, batch", [(262_144, 63), (473_600, 63), (122_880, 31), (65_536, 15), (3840, 0)])
def test_batch_is_a_power_of_two_less_one(managed, batch):
    assert formulas.zone_batch(managed) == batch
    assert formulas.pcp_high_fixed(batch) == 6 * batch


def test_tuned_high_lies_between_the_known_ends():
    assert formulas.pcp_high_range(473_600, 1849, 63, 8) == (252, 7400)
    assert formulas.pcp_high_range(245_760, 1238, 63, 4) == (309, 7680)


@pytest.mark.parametrize("hz, ncpu, jiffies", [(100, 1, 1), (250, 8, 1), (300, 8, 2), (1000, 8, 3), (1000, 512, 5)])
def test_fqs_delay_grows_with_hz_and_cpus(hz, ncpu, jiffies):
    assert formulas.fqs_jiffies(hz, ncpu) == jiffies


def test_holdouts_are_urged_after_a_tenth_of_a_second_or_three_scans():
    assert formulas.sched_qs_jiffies(1, 1, 250, 8) == 25
    assert formulas.sched_qs_jiffies(100, 100, 250, 8) == 300


def test_milliseconds_are_rounded_up_to_jiffies():
    assert [formulas.ms_to_jiffies(20, hz) for hz in (100, 250, 300, 1000)] == [2, 5, 6, 20]
    assert formulas.ms_to_jiffies(1, 250) == 1
    assert formulas.ms_to_jiffies(0, 250) == 0


def test_objects_take_the_smallest_cache_that_holds_them():
    assert [formulas.kmalloc_class(24 * mult) for mult in (1, 2, 3, 5, 85)] == [32, 64, 96, 128, 2048]


# memory in MiB, all of it managed -> min_free_kbytes: the table in the kernel's comment, and its continuation.
MIN_FREE = {
    64: 1024, 128: 1448, 256: 2048, 512: 2896, 1024: 4096, 2048: 5792, 4096: 8192, 8192: 11_585, 16_384: 16_384,
    65_536: 32_768, 262_144: 65_536, 1 << 20: 131_072,
}
# ... -> MIN, LOW and HIGH in pages, batch, and high by rules v5.9, v6.1 and v6.7 (min, max) with four CPUs
ZONES = {
    64: ((256, 320, 384), 3, 18, 80, (80, 512)),
    128: ((362, 452, 542), 7, 42, 113, (113, 1024)),
    256: ((512, 640, 768), 15, 90, 160, (160, 2048)),
    512: ((724, 905, 1086), 31, 186, 226, (226, 4096)),
    1024: ((1024, 1286, 1548), 63, 378, 321, (321, 8192)),
    2048: ((1448, 1972, 2496), 63, 378, 493, (493, 16_384)),
    4096: ((2048, 3096, 4144), 63, 378, 774, (774, 32_768)),
    16_384: ((4096, 8290, 12_484), 63, 378, 2072, (2072, 131_072)),
    262_144: ((16_384, 83_492, 150_600), 63, 378, 20_873, (20_873, 2_097_152)),
    1 << 20: ((32_768, 301_203, 569_638), 63, 378, 75_300, (75_300, 8_388_608)),
}


@pytest.mark.parametrize("mib", MIN_FREE)
def test_min_free_grows_with_the_root_of_memory(mib):
    assert formulas.min_free_kbytes(mib * 256) == MIN_FREE[mib]


@pytest.mark.parametrize("mib", ZONES)
def test_sizes_of_one_zone_from_64_mib_to_1_tib(mib):
    pages = mib * 256
    marks, batch, fixed, from_low, tuned = ZONES[mib]
    assert formulas.watermarks(pages, formulas.min_free_kbytes(pages), 10) == marks
    assert formulas.zone_batch(pages) == batch
    assert formulas.pcp_high_fixed(batch) == fixed
    assert formulas.pcp_high_from(marks[1], batch, 4) == from_low
    assert formulas.pcp_high_range(pages, marks[1], batch, 4) == tuned


def test_a_zones_share_of_min_free_is_its_share_of_memory():
    sizes = (3840, 740_000, 250_000)
    free_kbytes = formulas.min_free_kbytes(sum(sizes))
    marks = [formulas.watermarks(size, free_kbytes, 10, sum(sizes)) for size in sizes]
    assert free_kbytes == 7975
    assert marks == [(7, 10, 13), (1483, 2223, 2963), (501, 751, 1001)]


@pytest.mark.parametrize("zones, kbytes", [(1, 22_528), (2, 45_056), (3, 67_584)])
def test_huge_pages_raise_min_free_by_the_number_of_zones(zones, kbytes):
    assert formulas.thp_min_free_kbytes(1_000_000, zones) == kbytes
    assert formulas.thp_min_free_kbytes(10_000, zones) == 500 * 4  # 5 % of memory at most


def test_what_lower_zones_keep_from_requests_that_could_go_higher():
    ratios = (256, 256, 32)
    assert formulas.lowmem_reserve((3840, 430_000, 32_400_000), ratios) == [
        (0, 1679, 128_242), (0, 0, 126_562), (0, 0, 0)]
    assert formulas.lowmem_reserve((0, 430_000, 32_400_000), ratios) == [(0, 0, 0), (0, 0, 126_562), (0, 0, 0)]
    assert formulas.lowmem_reserve((3840, 0, 1000), (256, 0, 32)) == [(0, 0, 3), (0, 0, 0), (0, 0, 0)]


def test_a_boost_is_at_most_one_and_a_half_times_high_and_none_in_a_small_zone():
    assert formulas.boost_limit(473_600, 2322, 15_000) == 3483
    assert formulas.boost_limit(4096, 100, 15_000) == 512
    assert formulas.boost_limit(2047, 500, 15_000) == 0
    assert formulas.boost_limit(473_600, 2322, 0) == 0


@pytest.mark.parametrize("managed, old, new", [(473_600, 5248, 5120), (51_200, 1024, 512), (51_100, 1023, 0)])
def test_blocks_kept_for_atomic_orders_are_a_hundredth_of_the_zone(managed, old, new):
    assert formulas.highatomic_limit(managed, "v5.9") == old
    assert formulas.highatomic_limit(managed, "v6.3") == new


def test_a_fraction_of_memory_fixes_the_old_rules_high_and_batch():
    assert formulas.pcp_fraction_fixed(245_760, 8) == (96, 30_720)
    assert formulas.pcp_fraction_fixed(1000, 100) == (2, 10)
