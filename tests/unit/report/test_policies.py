"""`emu policies`: every strategy, in 80 columns, without Numba."""

import subprocess
import sys

import pytest

from emu.config import POLICIES
from emu.errors import ConfigError
from emu.report import policies_text, policy_text


def test_the_list_has_every_strategy_by_number_and_name():
    lines = policies_text().splitlines()
    assert max(len(line) for line in lines) <= 80
    for row in POLICIES.values():
        if row.name != "epoch":
            assert any(line.startswith(f"{row.name} ") and f" {row.title} " in f"{line} " for line in lines), row


@pytest.mark.parametrize("name", POLICIES)
def test_an_explanation_says_what_whose_and_of_what(name):
    text = policy_text(name)
    assert max(len(line) for line in text.splitlines()) <= 80
    for label in ("does", "origin", "for it", "against it", "settled by"):
        assert any(line.startswith(f"{label} ") for line in text.splitlines())
    assert policy_text(POLICIES[name].title if name != "epoch" else "epoch") == text


def test_an_explanation_names_what_the_sources_may_do_and_the_keys_of_the_preset():
    text = policy_text("rescue+grown")
    assert "grown: none: a pool per CPU that the worker grows; looks at no mark" in text
    assert "policy.pool.rescue_pages = 4" in text and "5 pages per CPU" in text
    assert "may spin, may sleep, wakes kswapd, stops at 1 x MIN" in " ".join(policy_text("S5").split())
    assert "cache, throttle" in policy_text("S18")


def test_a_name_that_nothing_has_gets_the_nearest():
    with pytest.raises(ConfigError, match=r"policies grown-pol: no such policy; did you mean grown-pool\?"):
        policy_text("grown-pol")
    with pytest.raises(ConfigError, match="emu policies lists them"):
        policy_text("qqq")


@pytest.mark.parametrize("arguments", [[], ["S6"]])
def test_both_answer_without_numba(arguments):
    code = ("import sys; from emu.cli import main; "
            f"code = main(['policies', *{arguments}]); assert 'numba' not in sys.modules; sys.exit(code)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
