"""Sources of the user's own: loaded, compiled and bound; what they may not do is caught and worded."""

import importlib

import pytest

from emu.arch import JIT
from emu.config import parse_override, parse_scenario, resolve
from emu.errors import ConfigError
from emu.launch.collect import fault_text
from emu.policy import GOT_NOTHING, POOL, SHELF, cpu_pool, load_user_sources, put_page, stock_of, take_page
from emu.shm import F_FOREIGN_PAGE
from emu.sync import LOCK
from tests.crew import Crew
from tests.small_machine import SMALL

API = "from emu.policy.api import NO_PAGE, from_cache, from_trylock, shelf_count, shelf_put, shelf_take, words_of\n\n\n"
PLAIN = API + """\
def again(seg, me, cpu, stock, now):
    return from_trylock(seg, me, cpu, stock, now)


def take_page(seg, me, cpu, stock, now):
    seg[words_of(seg, cpu) + 1] += 1
    pfn = shelf_take(seg, me, cpu, stock, now)
    if pfn == NO_PAGE:
        pfn = again(seg, me, cpu, stock, now)
    return pfn


def put_page(seg, me, cpu, stock, pfn):
    if shelf_count(seg, cpu) >= 2:
        return 0
    return shelf_put(seg, me, cpu, stock, pfn)
"""


def load(folder, text: str):
    """The scenario with such a source, loaded; its sources stay bound until the next one's."""
    (folder / "mine.py").write_text(text)
    chosen = dict(parse_override(each) for each in SMALL) | {"policy.sources": ["mine.py:take_page"]}
    resolved = resolve(parse_scenario("", folder=folder, overrides=chosen))
    load_user_sources(resolved.policy.user_sources)
    return resolved


def crew_with(folder, text: str) -> Crew:
    load(folder, text)
    return Crew("policy.sources=['mine.py:take_page']", "kvfree.min_cached_objs=0", folder=folder)


def take(crew: Crew, cpu: int = 0) -> int:
    return take_page(crew.seg, cpu, cpu, stock_of(crew.seg, cpu), 0, 0)


def put(crew: Crew, pfn: int, cpu: int = 0) -> int:
    return put_page(crew.seg, crew.reclaim(cpu), cpu, cpu, stock_of(crew.seg, cpu), pfn)


def test_it_gives_pages_keeps_them_on_its_shelf_and_remembers(tmp_path):
    crew = crew_with(tmp_path, PLAIN)
    pages = [take(crew) for _ in range(4)]
    assert GOT_NOTHING not in pages and crew.counter("user_hit") == 4
    assert [put(crew, page) for page in pages] == [1, 1, 0, 0]  # two on the shelf; no cache here
    assert crew.seg[cpu_pool(crew.seg, 0, SHELF) + POOL.nr] == 2
    assert take(crew) == pages[1] and crew.counter("trylock_hit") == 4
    put(crew, pages[1])
    assert (crew.fault, crew.broken_pages()) == (0, [])


def test_what_it_does_not_keep_goes_to_the_krc_s_cache_which_it_may_take_from(tmp_path):
    load(tmp_path, PLAIN.replace("from_trylock(seg", "from_cache(seg").replace(">= 2", ">= 1"))
    crew = Crew("policy.sources=['mine.py:take_page']", "kvfree.boot_fill=true", folder=tmp_path)
    pages = [take(crew) for _ in range(5)]
    assert GOT_NOTHING not in pages and take(crew) == GOT_NOTHING
    assert [put(crew, page) for page in pages] == [1] * 5
    assert (crew.counter("krc_cache_put"), crew.seg[cpu_pool(crew.seg, 0, SHELF) + POOL.nr]) == (4, 1)
    assert crew.broken_pages() == []


def test_a_whole_load_runs_on_it(tmp_path):
    crew = crew_with(tmp_path, PLAIN)
    crew.retire(0, 1200)
    crew.retire(1, 600)
    crew.drain()
    assert crew.broken() == [] and crew.counter("kvfree_bulk") == 1800


def test_a_source_that_has_nothing_leaves_it_to_the_next(tmp_path):
    crew = crew_with(tmp_path, API + "def take_page(seg, me, cpu, stock, now):\n    return NO_PAGE\n")
    assert take(crew) == GOT_NOTHING
    assert (crew.counter("user_miss"), crew.counter("kvfree_page_miss")) == (1, 1)


@pytest.mark.parametrize("body, state", [
    ("    return 12345678901\n", "absent"),
    ("    return -3\n", "absent"),
    ("    pfn = from_trylock(seg, me, cpu, stock, now)\n    shelf_put(seg, me, cpu, stock, pfn)\n    return pfn\n",
     "static"),
    ("    if seg[words_of(seg, cpu)] == 0:\n        seg[words_of(seg, cpu)] = from_trylock(seg, me, cpu, stock, now)\n"
     "    return seg[words_of(seg, cpu)]\n", "bnode"),
], ids=["no page", "negative", "shelved", "returned before"])
def test_a_page_that_it_does_not_own_stops_the_run_by_file_and_line(tmp_path, body, state):
    crew = crew_with(tmp_path, API + "def take_page(seg, me, cpu, stock, now):\n" + body)
    take(crew)
    take(crew)
    assert crew.fault == F_FOREIGN_PAGE
    text = fault_text(crew.seg, crew.plan)
    assert f'source "mine.py:take_page" ({tmp_path}/mine.py:4) returned page ' in text
    assert f"which it does not own (it is {state})" in text


@pytest.mark.parametrize("body", [
    "    return 1\n",  # said to be kept, and kept nowhere
    "    shelf_put(seg, me, cpu, stock, pfn)\n    return 0\n",  # shelved, and said to be given back
])
def test_a_put_that_does_not_do_what_it_says_stops_the_run(tmp_path, body):
    crew = crew_with(tmp_path, PLAIN[:PLAIN.index("def put_page")] + "def put_page(seg, me, cpu, stock, pfn):\n" + body)
    put(crew, take(crew))
    assert crew.fault == F_FOREIGN_PAGE


def test_a_page_that_is_taken_and_forgotten_is_missed_at_the_end(tmp_path):
    crew = crew_with(tmp_path, API + """\
def take_page(seg, me, cpu, stock, now):
    from_trylock(seg, me, cpu, stock, now)
    return NO_PAGE
""")
    assert take(crew) == GOT_NOTHING
    assert [row.split(":")[0] for row in crew.broken_pages()] == ["bnode pages all came back"]


def test_the_krc_s_lock_is_held_as_for_any_other_source(tmp_path):
    crew = crew_with(tmp_path, PLAIN)
    before = crew.seg[crew.krc(0) + LOCK.acquired]
    crew.retire(0)
    assert crew.seg[crew.krc(0) + LOCK.acquired] == before + 1


# --- errors before anything starts -------------------------------------------------------------------------


def error_of(folder, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    return str(caught.value)


@pytest.mark.skipif(not JIT, reason="interpreted code is not compiled")
@pytest.mark.parametrize("body, line", [
    ("    return nothing_of_the_kind\n", 5),
    ("    x = 1\n    return [x, 2]\n", 4),
    ("    x = cpu\n    return x.pfn\n", 6),
    ("    return shelf_take(seg, me)\n", 5),
])
def test_what_does_not_compile_is_said_by_file_and_line(tmp_path, body, line):
    message = error_of(tmp_path, API + "def take_page(seg, me, cpu, stock, now):\n" + body)
    assert message.startswith(f"{tmp_path}/mine.py:{line}: take_page() does not compile: "), message
    assert "\n" not in message


@pytest.mark.parametrize("text, expected", [
    ("import nothing_of_the_kind\n\n\ndef take_page(seg, me, cpu, stock, now):\n    return 0\n",
     "mine.py:1: cannot be loaded: ModuleNotFoundError: No module named 'nothing_of_the_kind'"),
    ("X = 1\nfrom emu.policy.api import gone\n\n\ndef take_page(seg, me, cpu, stock, now):\n    return 0\n",
     "mine.py:2: cannot be loaded: ImportError: cannot import name 'gone'"),
])
def test_what_cannot_be_imported_is_said_by_file_and_line(tmp_path, text, expected):
    message = error_of(tmp_path, text)
    assert expected in message and "emu.policy.api has " in message


def test_a_file_is_loaded_once_and_a_changed_one_anew(tmp_path):
    first = crew_with(tmp_path, PLAIN)
    load(tmp_path, PLAIN)
    assert take(first) != GOT_NOTHING
    changed = crew_with(tmp_path, PLAIN.replace("    return pfn\n", "    return NO_PAGE\n", 1))
    assert take(changed) == GOT_NOTHING


def test_the_api_s_list_is_what_it_has():
    api = importlib.import_module("emu.policy.api")
    assert all(hasattr(api, name) for name in api.__all__)
