"""The names in a scenario that stand for something else: policy preset, sources.

Holds   check_names(): known, and allowed where they stand.
Rule    an unknown name gets the nearest known.
Limits  runs before anything is resolved, because an unknown name has no values.
"""

from pathlib import Path

from emu.config.presets import POLICIES, SOURCES, find_policy, known_policies
from emu.config.problems import Problem, nearest, one_of
from emu.config.user_sources import USER_SOURCES_MAX, BadSource, find_user_source, is_user_source


def check_names(keys, folder: Path) -> list[Problem]:
    """Problems of run.epoch, policy.preset, policy.sources and policy.one_arg_sources."""
    problems = []
    problems += _preset_problems(keys.policy.preset)
    problems += _list_problems("policy.sources", keys.policy.sources, folder, one_arg=False)
    problems += _list_problems("policy.one_arg_sources", keys.policy.one_arg_sources, folder, one_arg=True)
    return problems


def _preset_problems(name):
    if find_policy(name) is None:
        near = nearest(name, known_policies())
        way_out = f'did you mean "{near}"?' if near else 'for example preset = "S3", or its name "worker-cache"'
        return [Problem("policy.preset", one_of(POLICIES), way_out, name)]
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
