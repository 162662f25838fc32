"""The names in a scenario that stand for something else: epoch, policy preset, sources.

Holds   check_names(): known, built, and allowed where they stand.
Rule    a name that is known but not built says what it needs; an unknown one gets the nearest known.
Limits  runs before anything is resolved, because an unknown name has no values.
"""

from pathlib import Path

from emu.config.presets import EPOCHS, POLICIES, SOURCES, find_policy, known_policies, needed_by
from emu.config.problems import Problem, nearest, one_of
from emu.config.user_sources import USER_SOURCES_MAX, BadSource, find_user_source, is_user_source


def check_names(keys, folder: Path) -> list[Problem]:
    """Problems of run.epoch, policy.preset, policy.sources and policy.one_arg_sources."""
    problems = []
    if EPOCHS[keys.run.epoch].needs:
        problems.append(_not_built("run.epoch", keys.run.epoch, EPOCHS[keys.run.epoch].needs, 'use "E612"'))
    problems += _preset_problems(keys.policy.preset)
    problems += _list_problems("policy.sources", keys.policy.sources, folder, one_arg=False)
    problems += _list_problems("policy.one_arg_sources", keys.policy.one_arg_sources, folder, one_arg=True)
    return problems


def _not_built(key, value, needs, way_out):
    return Problem(key, f"needs {needs}, which does not exist yet", way_out, value)


def _preset_problems(name):
    ready = [row for row in POLICIES.values() if not row.needs]
    row = find_policy(name)
    if row is None:
        near = nearest(name, known_policies())
        way_out = f'did you mean "{near}"?' if near else 'for example preset = "S3", or its name "worker-cache"'
        return [Problem("policy.preset", one_of([each.name for each in ready]), way_out, name)]
    if row.needs:
        way_out = "use one of " + ", ".join(each.name for each in ready)
        return [_not_built("policy.preset", name, row.needs, way_out)]
    return []


def _list_problems(key, names, folder, one_arg):
    problems = []
    allowed = [name for name, rule in SOURCES.items() if one_arg or not rule.one_arg_only]
    for i, name in enumerate(names or ()):
        where = f"{key}[{i}]"
        if name in names[:i]:
            problems.append(Problem(where, "stands twice in the list", "name each source once", name))
        elif is_user_source(name):
            problems += _user_problems(where, name, names, folder)
        elif name in SOURCES and name not in allowed:
            rule = "may sleep, which a two-argument call must not"
            problems.append(Problem(where, rule, "name it in policy.one_arg_sources", name))
        elif name not in SOURCES and needed_by(name):
            row = needed_by(name)
            needs = f"is the source of {row.name} ({row.title}) and does not exist yet"
            problems.append(Problem(where, needs, "use one of " + ", ".join(allowed), name))
        elif name not in SOURCES:
            near = nearest(name, allowed)
            way_out = f'did you mean "{near}"?' if near else 'for example "cache"'
            problems.append(Problem(where, one_of(allowed), way_out, name))
    return problems


def _user_problems(where, name, names, folder):
    if len({each for each in names if is_user_source(each)}) > USER_SOURCES_MAX:
        return [Problem(where, f"is one of more than {USER_SOURCES_MAX} functions of your own", "name fewer", name)]
    try:
        find_user_source(name, folder)
    except BadSource as bad:
        rule, way_out = bad.args
        return [Problem(where, rule, way_out, name)]
    return []
