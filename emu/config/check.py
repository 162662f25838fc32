"""Hold a parsed TOML document against the schema, key by key, and find every problem, not just the first.

Holds   check(): unknown sections and keys, wrong types, values out of range.
Rule    the rule's text is made from the declared type, so the message and the check cannot disagree.
Limits  one key at a time; rules between keys are in rules.py. A problem in one key hides none in another.
"""

import math

from msgspec import NODEFAULT
from msgspec import inspect as types

from emu.config.problems import Problem, nearest, one_of, show
from emu.config.schema import all_keys, all_sections, keys_of, plain_type


def check(document: dict) -> tuple[list[Problem], dict[str, object]]:
    """The problems of a parsed document, and the values of the keys that have none, by dotted name."""
    problems: list[Problem] = []
    values: dict[str, object] = {}
    _check_table(document, "", problems, values)
    return problems, values


def _check_table(table, section, problems, values):
    for leaf, value in table.items():
        dotted = f"{section}.{leaf}" if section else leaf
        if dotted in all_sections():
            if isinstance(value, dict):
                _check_table(value, dotted, problems, values)
            else:
                way_out = f"write [{dotted}] and its keys below it"
                problems.append(Problem(dotted, "is a section, not a key", way_out, value))
        elif dotted in all_keys():
            found = _check_value(all_keys()[dotted], dotted, value)
            problems.extend(found)
            if not found:
                values[dotted] = value
        elif isinstance(value, dict):
            problems.append(_unknown_section(dotted))
        else:
            problems.append(_unknown_key(section, leaf, value))


def _unknown_section(dotted):
    near = nearest(dotted, all_sections()) or nearest(dotted.rsplit(".", 1)[-1], all_sections())
    way_out = f"did you mean [{near}]?" if near else "sections are " + ", ".join(_top_sections())
    return Problem(dotted, "unknown section", way_out)


def _top_sections():
    return [name for name in all_sections() if "." not in name]


def _unknown_key(section, leaf, value):
    """The same name elsewhere beats a like name here, which beats a like name elsewhere."""
    dotted = f"{section}.{leaf}" if section else leaf
    keys = all_keys().values()
    same = [key for key in keys if key.leaf == leaf]
    if same:
        return Problem(dotted, "unknown key", f"{_section_words(same[0].section)} has this name", value)
    near = nearest(leaf, [key.leaf for key in keys if key.section == section])
    if near:
        return Problem(dotted, "unknown key", f"did you mean {near}, in {_section_words(section)}?", value)
    near = nearest(leaf, [key.leaf for key in keys])
    if near:
        found = next(key for key in keys if key.leaf == near)
        return Problem(dotted, "unknown key", f"did you mean {near}, in {_section_words(found.section)}?", value)
    here = [key.leaf for key in keys if key.section == section] or list(all_sections())
    return Problem(dotted, "unknown key", f"{_section_words(section)} has {', '.join(here)}", value)


def _section_words(section):
    return f"section [{section}]" if section else "the top of the file"


def _check_value(key, dotted, value):
    """Problems of one key. A list's problems name the element."""
    kind = _chosen(key.type, value)
    if isinstance(kind, types.VarTupleType) and isinstance(kind.item_type, types.StructType):
        return _check_tables(kind, dotted, value)
    if isinstance(kind, types.VarTupleType) and isinstance(value, list):
        bad = [i for i, each in enumerate(value) if not _fits(kind.item_type, each)]
        if bad:
            i = bad[0]
            rule = _misfit(kind.item_type, value[i])
            return [Problem(f"{dotted}[{i}]", rule, _example(key), value[i])]
    if not _fits(kind, value):
        return [Problem(dotted, _misfit(key.type, value), _way_out(key, value), value)]
    return []


def _check_tables(kind, dotted, tables):
    """Problems of an array of tables ([[users]]), each key named with the number of its table."""
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        way_out = f"write [[{dotted}]] and its keys below it"
        return [Problem(dotted, "is an array of tables, not a key", way_out, tables)]
    if len(tables) > (kind.max_length or math.inf):
        return [Problem(dotted, f"must have at most {kind.max_length} tables", "remove some")]
    keys = {key.leaf: key for key in keys_of(kind.item_type.cls, dotted)}
    problems = []
    for i, table in enumerate(tables):
        for leaf, value in table.items():
            if leaf in keys:
                problems += _check_value(keys[leaf], f"{dotted}[{i}].{leaf}", value)
            else:
                near = nearest(leaf, keys)
                way_out = f"did you mean {near}?" if near else f"[[{dotted}]] has {', '.join(keys)}"
                problems.append(Problem(f"{dotted}[{i}].{leaf}", "unknown key", way_out, value))
        problems += [Problem(f"{dotted}[{i}]", f"lacks the key {leaf}, which {rule_text(key.type)}", _example(key))
                     for leaf, key in keys.items() if key.default is NODEFAULT and leaf not in table]
    return problems


def _chosen(kind, value):
    """Of a choice of types, the one that has the value's form."""
    if isinstance(kind, types.UnionType):
        wanted = types.VarTupleType if isinstance(value, list) else types.StrType
        return next(each for each in kind.types if isinstance(each, wanted))
    return kind


def _fits(kind, value) -> bool:
    match kind:
        case types.LiteralType():
            return type(value) in (int, str) and value in kind.values
        case types.BoolType():
            return isinstance(value, bool)
        case types.IntType():
            return type(value) is int and _in_range(kind, value)
        case types.FloatType():
            return type(value) in (int, float) and _in_range(kind, value) and math.isfinite(value)
        case types.StrType():
            return isinstance(value, str) and len(value) <= (kind.max_length or math.inf)
        case types.VarTupleType():
            if not isinstance(value, list) or not (kind.min_length or 0) <= len(value) <= (kind.max_length or math.inf):
                return False
            return all(_fits(kind.item_type, each) for each in value)
        case types.StructType():
            return isinstance(value, dict) and _fits_table(kind, value)
    raise AssertionError(f"the schema uses a type that check.py does not know: {kind}")


def _fits_table(kind, value):
    """A table that is an element of a list: every key of the record, and no other."""
    fields = {field.encode_name: plain_type(field.type) for field in kind.fields}
    return fields.keys() == value.keys() and all(_fits(fields[name], each) for name, each in value.items())


def _in_range(kind, value):
    """Comparisons are written so that NaN fails them."""
    if kind.ge is not None and not value >= kind.ge:
        return False
    if kind.gt is not None and not value > kind.gt:
        return False
    if kind.le is not None and not value <= kind.le:
        return False
    return kind.multiple_of is None or value % kind.multiple_of == 0


def _misfit(kind, value) -> str:
    """The rule that the value broke; where even the type is another, which it is."""
    rule = rule_text(kind)
    if isinstance(kind, types.UnionType) or _same_form(kind, value):
        return rule
    return f"{rule}, not {_form(value)}"


def _same_form(kind, value):
    match kind:
        case types.LiteralType():
            return type(value) is type(kind.values[0])
        case types.BoolType():
            return isinstance(value, bool)
        case types.IntType():
            return type(value) is int
        case types.FloatType():
            return type(value) in (int, float)
        case types.StrType():
            return isinstance(value, str)
        case types.StructType():
            return isinstance(value, dict)
    return isinstance(value, list)


_FORMS = {
    bool: "true or false", int: "an integer", float: "a fraction", str: "a string", list: "a list", dict: "a table",
}


def _form(value) -> str:
    return _FORMS.get(type(value), "a date or time")


def rule_text(kind) -> str:
    """What a value of this type must be, in words."""
    match kind:
        case types.LiteralType():
            return one_of(kind.values)
        case types.BoolType():
            return "must be true or false"
        case types.IntType():
            return "must be an integer" + _range_text(kind)
        case types.FloatType():
            return "must be a number" + _range_text(kind)
        case types.StrType():
            return "must be a string" + (f" of at most {kind.max_length} characters" if kind.max_length else "")
        case types.VarTupleType():
            low, high = kind.min_length or 0, kind.max_length
            return f"must be a list of {low} to {high} elements" if high else "must be a list"
        case types.StructType():
            parts = (f"{each.encode_name} ({rule_text(plain_type(each.type))[8:]})" for each in kind.fields)
            return f"must be a table of {', '.join(parts)}"
    return "must be a string or a list of integers"


def _range_text(kind):
    if kind.gt is not None:
        text = f" above {show(kind.gt)} and at most {show(kind.le)}"
    else:
        text = f" from {show(kind.ge)} to {show(kind.le)}"
    return text + (f", a multiple of {kind.multiple_of}" if kind.multiple_of else "")


def _way_out(key, value):
    if isinstance(key.type, types.LiteralType) and isinstance(value, str):
        near = nearest(value, [str(each) for each in key.type.values])
        if near:
            return f'did you mean "{near}"?'
    return _example(key)


def _example(key):
    example = key.example
    if example is None or example is NODEFAULT:
        example = key.type.values[0] if isinstance(key.type, types.LiteralType) else True
    return f"for example {key.leaf} = {show(example)}"
