"""`emu policies`: the strategies as a list, and one of them explained.

Holds   policies_text(), policy_text().
Rule    at most 80 columns. Says only what the tables of config hold.
"""

import textwrap

from emu.config import POLICIES, SOURCES, STRATEGIES, PolicyPreset, find_policy, known_policies, nearest
from emu.errors import ConfigError

WIDTH = 80
_LABEL = 12


def policies_text() -> str:
    """Every preset: number, name, sources, what they may do."""
    lines = [f"{'':4} {'name':20} {'sources':26} may"]
    for row in POLICIES.values():
        sources = ", ".join(row.sources) if row.sources else ("the epoch's" if row.sources is None else "none")
        head = f"{row.name if row.name != 'epoch' else '-':4} {row.title if row.name != 'epoch' else 'epoch':20} "
        may = may_do(row)
        parts = textwrap.wrap(sources, 26) or [""]
        mays = textwrap.wrap(", ".join(may) or "-", WIDTH - len(head) - 27)
        for i in range(max(len(parts), len(mays))):
            left = head if i == 0 else " " * len(head)
            lines.append(f"{left}{parts[i] if i < len(parts) else '':26} {mays[i] if i < len(mays) else ''}".rstrip())
    lines += ["", "emu policies S6 (or its name) explains one. A scenario says policy.preset = \"S6\""]
    return "\n".join(lines)


def may_do(row: PolicyPreset) -> list[str]:
    """What the sources of a preset may do in the caller's context, in words, each once."""
    rules = [SOURCES[name] for name in (*(row.sources or ()), *(row.one_arg or ()))]
    words = []
    if any(rule.may_spin for rule in rules):
        words.append("take spinlocks")
    if any(rule.may_sleep for rule in rules):
        words.append("sleep")
    if any(rule.wakes_kswapd for rule in rules):
        words.append("wake kswapd")
    words += [f"MIN x {rule.floor:g}" for rule in rules if rule.floor]
    return list(dict.fromkeys(words))


def policy_text(name: str) -> str:
    """One strategy explained. ConfigError for a name that nothing has."""
    row = find_policy(name)
    if row is None:
        near = nearest(name, known_policies())
        raise ConfigError(f"policies {name}: no such policy; " +
                          (f"did you mean {near}?" if near else "emu policies lists them"))
    story = STRATEGIES[row.name]
    lines = [f"{row.name} {row.title}" if row.name != "epoch" else f"epoch: {row.title}"]
    for label, text in (("does", story.mechanism), ("origin", story.origin), ("for it", story.benefit),
                        ("against it", story.failure), ("settled by", story.settles)):
        lines += _labelled(label, text)
    if row.sources is None:
        return "\n".join([*lines, *_labelled("composition", "the epoch's; emu run SCENARIO --dry-run prints it")])
    lines += _labelled("sources", ", ".join(row.sources) or "none: the fallback alone")
    for source in row.sources:
        rule = SOURCES[source]
        lines += _labelled("", f"{source}: {rule.kernel}; {_may(rule)}")
    if row.one_arg:
        lines += _labelled("one-argument", ", ".join(row.one_arg))
    lines += _labelled("refill", {"": "none", "epoch": "the epoch's"}.get(
        row.refill_from, f"the epoch's, or {row.refill_from}'s where that has none"))
    for key, value in sorted(row.values.items()):
        lines += _labelled("", f"{key} = {value}")
    if row.pages_per_cpu:
        lines += _labelled("pool", f"{row.pages_per_cpu} pages per CPU")
    return "\n".join(lines)


def _may(rule) -> str:
    words = [word for word, yes in (("may spin", rule.may_spin), ("may sleep", rule.may_sleep),
                                    ("wakes kswapd", rule.wakes_kswapd)) if yes]
    words.append(f"stops at {rule.floor:g} x MIN" if rule.floor else "looks at no mark")
    return ", ".join(words)


def _labelled(label, text):
    return textwrap.wrap(text, WIDTH, initial_indent=f"{label:{_LABEL}}", subsequent_indent=" " * _LABEL,
                         break_on_hyphens=False, break_long_words=False)
