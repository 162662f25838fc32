"""[published]: the figure of somebody else that a scenario is to be held against.

Holds   Published, Figure, figures_of(), and the section's rules. A plain run does not read it.
Rule    the lists figures, published and held go together, element by element. A figure names a measured number and the
        variants it is taken of: "gp_ended A/B" is a ratio, "peak_over_rule A" the number itself. Variant A and B
        are the scenario with the overrides of a and b. held says when it counts as held: ">= 4" or "0.75 to 1.25".
Limits  two variants. Which measured numbers there are is known in room compare, which refuses others.
"""

import re
from typing import Annotated, NamedTuple

from msgspec import Meta

from emu.config.problems import Problem
from emu.config.schema_base import Section

_FIGURE = re.compile(r"([a-z][\w.]*) (A/B|B/A|A|B)")
_HELD = re.compile(r"(?:(>=|<=) *(\d+(?:\.\d+)?)|(\d+(?:\.\d+)?) to (\d+(?:\.\d+)?))")
Texts = Annotated[tuple[str, ...], Meta(max_length=16)]


class Published(Section, frozen=True):
    """Published figures and how they are reproduced. Overrides are KEY=VALUE, as on the command line."""

    id: str = ""
    source: str = ""
    setup: str = ""
    shape: str = ""
    a_name: str = "A"
    b_name: str = "B"
    a: Texts = ()
    b: Texts = ()
    figures: Texts = ()
    published: Texts = ()
    held: Texts = ()
    rounds: Annotated[int, Meta(ge=1, le=100)] = 3


class Figure(NamedTuple):
    """One figure: the measured number's name, of which variants ("A/B", "B/A", "A", "B"), published, the bounds."""

    name: str
    of: str
    published: str
    held: str
    least: float
    most: float


def figures_of(published: Published) -> list[Figure]:
    """The figures of a section that broke no rule."""
    rows = []
    for figure, value, held in zip(published.figures, published.published, published.held, strict=True):
        named, bounds = _FIGURE.fullmatch(figure), _HELD.fullmatch(held)
        assert named and bounds
        sign, bound, low, high = bounds.groups()
        least = float(low if low else bound if sign == ">=" else "-inf")
        most = float(high if high else bound if sign == "<=" else "inf")
        rows.append(Figure(named[1], named[2], value, held, least, most))
    return rows


def published_rules(resolved, scenario):
    """Problems of the section."""
    section = scenario.keys.published
    lengths = {len(section.figures), len(section.published), len(section.held)}
    if len(lengths) > 1:
        yield Problem("published.figures", f"has {len(section.figures)} elements, published {len(section.published)}, "
                      f"held {len(section.held)}", "give each figure its published value and when it is held")
    for i, text in enumerate(section.figures):
        if not _FIGURE.fullmatch(text):
            yield Problem(f"published.figures[{i}]", "must be a figure and its variants",
                          'for example "gp_ended A/B" or "peak_over_rule A"', text)
    for i, text in enumerate(section.held):
        if not _HELD.fullmatch(text):
            yield Problem(f"published.held[{i}]", "must be a bound", 'for example ">= 4", "<= 0.9" or "0.75 to 1.25"',
                          text)
    for name in ("a", "b"):
        for i, text in enumerate(getattr(section, name)):
            if "=" not in text:
                example = 'for example "kvfree.batching=false"'
                yield Problem(f"published.{name}[{i}]", "must be KEY=VALUE", example, text)
