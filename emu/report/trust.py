"""Why to believe it, or not: ledgers, locks, stalls, invariants, processes, noise, and what it cannot tell.

Rule    a ledger prints its terms and whether they make the whole; what held is one line, what did not is
        told in full. Long lists show the worst first and say how many more there are.
"""

from emu.report.answers import plural
from emu.report.numbers import NBSP, count, duration, grouped, per_second, ranges, share
from emu.report.tables import table, wrap
from emu.report.view import BELOW_NOISE, lower_median

PAGE_TERMS = ("buddy", "pcp", "cache", "static", "bnode", "slab", "vmalloc", "other", "lost")
PRESSURE_TERMS = ("lru", "zram", "user", "trylock")  # named where there are such pages
OBJECT_TERMS = ("freed", "queued", "live")
PARTLY_TIMED = ("krc->lock",)  # its clock runs in the monitor's sections only
PROCESSES_IN_FULL = 12
ROWS_MAX = 10
CANNOT_TELL = (
    "not told: absolute kernel latency (this is compiled Python, not the kernel's C);",
    "          orderings and scheduling of a kind of machine that it did not run on.",
)


def _equation(name, whole, terms):
    """`name 10 = a 7 + b 3: adds up`; terms of zero are left out, all but the first."""
    found = [(word, number) for i, (word, number) in enumerate(terms) if number or not i]
    total = sum(number for _, number in terms)
    right = " + ".join(f"{word}{NBSP}{grouped(number)}" for word, number in found)
    if total == whole:
        return f"{name} {grouped(whole)} = {right}: adds up"
    return f"{name} {grouped(whole)} is NOT {right} = {grouped(total)}: {grouped(whole - total)} unaccounted for"


def ledger(view, width):
    """Where every page and every object is at the end."""
    book = view["ledger"]
    objects = book["objects"]
    enqueued, freed, queued = (view.over_cpus(key) for key in ("enqueued", "freed", "queued_at_end"))
    terms = [term for term in PAGE_TERMS + PRESSURE_TERMS if term in PAGE_TERMS or book.get(term)]
    lines = wrap(_equation("pages", book["managed"], [(term, book[term]) for term in terms]), width, "", "  ")
    lines += wrap(_equation("objects", objects["allocated"], [(term, objects[term]) for term in OBJECT_TERMS]),
                  width, "", "  ")
    lines += wrap(_equation("enqueued", enqueued, [("freed", freed), ("queued", queued)]), width, "", "  ")
    orphans = book["orphans"]
    if orphans:
        named = ", ".join(f"{page['pfn']} ({page['state']}, {page['owner']})" for page in orphans[:ROWS_MAX])
        lines += wrap(f"in dead hands: {plural(len(orphans), 'page')}: {named}{_more(orphans)}", width, "", "  ")
    zone = {key: grouped(number) for key, number in view["zone"].items() if type(number) is int}
    text = (f"zone: free {zone['nr_free_end']} at the end, {zone['nr_free_min']} at the lowest; "
            f"min {zone['min']}, low {zone['low']}, high {zone['high']}")
    return lines + wrap(text, width, "", "  ")


def _more(rows, shown=ROWS_MAX):
    return f", and {grouped(len(rows) - shown)} more" if len(rows) > shown else ""


def hold_mean(lock):
    """Mean hold time, "-" where holds are not timed, or not all of them: a mean over the others would be none."""
    timed = lock["hold_max_ns"] > 0 and lock["name"] not in PARTLY_TIMED
    return duration(lock["hold_ns"] / lock["acquired"]) if timed else "-"


def locks(view, width):
    """Locks that were taken, the longest held first."""
    used = sorted((lock for lock in view["locks"] if lock["acquired"] > 0), key=lambda lock: -lock["hold_max_ns"])
    if not used:
        return []
    rows = [(lock["name"], count(lock["acquired"]), share(lock["contended"], lock["acquired"]),
             duration(lock["wait_ns"]), hold_mean(lock), duration(lock["hold_max_ns"]) if lock["hold_max_ns"] else "-",
             count(lock["holder_descheduled"])) for lock in used[:ROWS_MAX]]
    lines = table(("lock", "acquired", "contended", "waited", "hold mean", "hold max", "off core"), rows, width, 0)
    if len(used) > ROWS_MAX:
        lines.append(f"  {grouped(len(used) - ROWS_MAX)} more, held for less")
    return lines


def stalls(view, width):
    """Who stood still, when, how long; the longest first."""
    found = sorted(view["stalls"], key=lambda stall: -stall["length_ns"])
    if not found:
        return ["stalls: none"]
    lines = [f"stalls: {grouped(len(found))}"]
    for stall in found[:ROWS_MAX]:
        detail = f": {stall['detail']}" if stall["detail"] else ""
        lines += wrap(f"{stall['process']} {stall['kind']} at {duration(stall['start_ns'])} "
                      f"for {duration(stall['length_ns'])}{detail}", width, "  ", "    ")
    if len(found) > ROWS_MAX:
        lines.append(f"  {grouped(len(found) - ROWS_MAX)} more, shorter")
    return lines


def invariants(view, width):
    """One line when all hold; every one that does not, with what it saw."""
    checks = view["invariants"]
    if not checks:
        return ["invariants: none was checked"]
    failed = [check for check in checks if not check["ok"]]
    lines = [f"invariants: {len(checks) - len(failed)} of {len(checks)} hold"]
    for check in failed:
        lines += wrap(f"BROKEN {check['name']}: {check['detail']}", width, "  ", "    ")
    return lines


def _sched(process):
    """other, other -5, fifo 1: the class with what ranks inside it."""
    name = process["class"] or "-"
    rank = process["priority"] if name in ("fifo", "rr") else process["nice"]
    return f"{name} {rank}" if rank else name


def _known(rows, key):
    return [row[key] for row in rows if row[key] is not None]


def _one_process(process):
    last = "-" if process["last_core"] is None else str(process["last_core"])
    exit_word = "" if process["exit"] == "0" else process["exit"]
    return (process["name"], f"{ranges(process['cores'])}/{last}", _sched(process), duration(process["run_ns"]),
            duration(process["run_delay_ns"]), duration(process["noise_max_ns"]), exit_word)


def _one_role(role, rows):
    """All processes of a role in one row: cores together, the middle CPU time, the worst of the rest."""
    cores = ranges(core for row in rows for core in row["cores"])
    runs = _known(rows, "run_ns")
    odd = sum(row["exit"] != "0" for row in rows)
    return (f"{role} x{len(rows)}", cores, _sched(rows[0]), duration(lower_median(runs)) if runs else "-",
            duration(max(_known(rows, "run_delay_ns"), default=None)),
            duration(max(_known(rows, "noise_max_ns"), default=None)), f"{odd} not 0" if odd else "")


def processes(view, width):
    """Where each process was asked to run and was last seen, what it got of its core, and how it ended."""
    rows = view["processes"]
    compact = len(rows) > PROCESSES_IN_FULL
    if compact:
        roles = {}
        for row in rows:
            roles.setdefault(row["role"], []).append(row)
        shown = [_one_role(role, members) for role, members in roles.items()]
        shown += [_one_process(row) for row in rows if row["exit"] != "0"][:ROWS_MAX]
        header = ("role", "core", "class", "CPU median", "queued max", "noise max", "exit")
    else:
        shown = [_one_process(row) for row in rows]
        header = ("process", "core/last", "class", "CPU time", "queued", "noise max", "exit")
    if all(not row[-1] for row in shown):
        header, shown = header[:-1], [row[:-1] for row in shown]
    lines = table(header, shown, width, 0)
    moved = [row["name"] for row in rows if row["last_core"] is not None and row["cores"]
             and row["last_core"] not in row["cores"]]
    if moved:
        named = ", ".join(moved[:ROWS_MAX])
        lines += wrap(f"not where they were asked to be: {named}{_more(moved)}", width, "  ", "    ")
    return lines


def noise(view, width):
    """The noise floor, and what the trace lost: how far down the figures reach."""
    lines = []
    if view.noise_ns:
        stolen = max((row["noise_share"] or 0 for row in view["processes"]), default=0)
        text = (f"noise floor {duration(view.noise_ns)}: the host's largest gap; latencies below it carry "
                f"{BELOW_NOISE} and are no finding; at most {share(stolen, 1)} of a process's time")
        lines += wrap(text, width, "", "  ")
    else:
        lines += wrap("noise floor not measured: no latency is marked", width)
    lost = sum(part["lost"] for part in view["events"].values())
    if lost:
        kept = sum(len(part["records"]) for part in view["events"].values())
        text = (f"trace: {plural(lost, 'event')} lost ({per_second(lost, view.elapsed_ns)}), {grouped(kept)} kept; "
                "the figures above do not come from it")
        lines += wrap(text, width, "", "  ")
    return lines


def cannot_tell(view, width):
    """What nobody should read out of these figures. Two lines."""
    if width >= max(map(len, CANNOT_TELL)):
        return list(CANNOT_TELL)
    return wrap(" ".join(CANNOT_TELL), width, "", " " * 10)
