"""What is compared: arms, each a name and the keys that it sets; and the order in which their runs take turns.

Holds   Arm, arms_of(), turns().
Rule    a policy is one key (policy.preset) among others; several varied keys give every combination. Runs take turns,
        A B C A B C, so that a host that slows down or warms up does so to every arm alike. Every arm of a round has
        the same seed, and each round the next one: demand differs between rounds, never between arms.
Limits  ARMS_MAX arms; the first one is the reference.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from emu.config import parse_override
from emu.errors import ConfigError

ARMS_MAX = 24
REPEATS_MAX = 1000
_COMMA = re.compile(r",(?![^\[]*\])(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)")  # not in a list, not in a string


class Arm(NamedTuple):
    """One variant: its name in tables, and the keys it sets over the scenario."""

    name: str
    overrides: dict


def _choices(option: str, text: str) -> list[str]:
    values = [part.strip() for part in _COMMA.split(text)]
    if not all(values):
        raise ConfigError(f"{option}: an empty value; separate values by single commas, for example S1,S3")
    doubled = next((value for value in values if values.count(value) > 1), None)
    if doubled:
        raise ConfigError(f"{option}: {doubled} stands twice; each value is one arm, --repeats runs it more often")
    return values


def parse_vary(option: str) -> tuple[str, list[str]]:
    """("kvfree.min_cached_objs", ["5", "32"]) from "kvfree.min_cached_objs=5,32"."""
    key, equals, text = option.partition("=")
    if not equals or not key.strip() or not text.strip():
        raise ConfigError(f"--vary {option}: must be KEY=V1,V2; for example --vary kvfree.min_cached_objs=5,32")
    return key.strip(), _choices(f"--vary {key.strip()}", text)


def arms_of(policies: str | None, vary: Sequence[str] = ()) -> list[Arm]:
    """The arms that the options name, every combination; at least two."""
    axes: list[list[tuple[str, str, object]]] = []
    if policies:
        axes.append([(name, "policy.preset", name) for name in _choices("--policies", policies)])
    for option in vary:
        key, values = parse_vary(option)
        leaf = key.rpartition(".")[2]
        axes.append([(f"{leaf}={value}", key, parse_override(f"{key}={value}")[1]) for value in values])
    keys = [axis[0][1] for axis in axes]
    doubled = next((key for key in keys if keys.count(key) > 1), None)
    if doubled:
        raise ConfigError(f"{doubled} is varied twice; give all its values in one option")
    arms = [Arm(" ".join(name for name, _, _ in row), {key: value for _, key, value in row}) for row in product(*axes)]
    if not axes or len(arms) < 2:
        raise ConfigError("compare: one arm only; name two at least, for example --policies S1,S3 "
                          "or --vary kvfree.min_cached_objs=5,32")
    if len(arms) > ARMS_MAX:
        raise ConfigError(f"compare: {len(arms)} arms: must be at most {ARMS_MAX}; vary fewer keys at a time")
    return arms


def turns(arms: int, repeats: int) -> Iterator[tuple[int, int]]:
    """(repeat, arm) in the order in which they run: each round every arm once."""
    return ((repeat, arm) for repeat in range(repeats) for arm in range(arms))
