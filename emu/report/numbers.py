"""Numbers as people read them: three significant figures, a unit that fits, thin groups of three digits.

Rule    a group separator and the space before a unit are NBSP here, so that no line breaks inside a number;
        text.py turns them into plain spaces at the very end. None prints as "-": there was nothing to measure.
        A count is exact up to ten digits. A share that is not zero never prints as zero.
"""

NBSP = "\u00a0"
PAGE_KIB = 4
_DURATIONS = ((1, "ns"), (1_000, "us"), (1_000_000, "ms"), (1_000_000_000, "s"))
_LARGE = ((1e12, "T"), (1e15, "P"), (1e18, "E"))
_SIZES = ("KiB", "MiB", "GiB", "TiB")


def grouped(number):
    """A whole number in groups of three: 4812331 is 4 812 331."""
    return "-" if number is None else f"{number:,}".replace(",", NBSP)


def count(number):
    """As grouped(), shortened to three figures from ten digits on: no table column is made for more."""
    if number is None or abs(number) < 10**10:
        return grouped(number)
    scale, letter = next((pair for pair in reversed(_LARGE) if abs(number) >= pair[0]), (1e9, "G"))
    return significant(number / scale) + NBSP + letter


def significant(number):
    """Three significant figures: 0.00123, 1.20, 45.6; in full from 1 000 on; below 0.0001 as 1.2e-05."""
    if number is None:
        return "-"
    size = abs(number)
    if size == 0:
        return "0"
    if size >= 999.5:
        return grouped(round(number))
    for decimals in (2, 1, 0):
        text = f"{number:.{decimals}f}"
        if abs(float(text)) >= 1 and len(text.lstrip("-").replace(".", "")) == 3:
            return text
    return f"{number:#.3g}" if size >= 1e-4 else f"{number:.1e}"


def duration(ns):
    """Nanoseconds in the unit that leaves up to three figures before the point: 640 ns, 1.20 ms, 3 600 s."""
    if ns is None:
        return "-"
    sign, size = ("-", -ns) if ns < 0 else ("", ns)
    scale, unit = next((pair for pair in _DURATIONS if size / pair[0] < 999.5), _DURATIONS[-1])
    if scale == 1:
        text = f"{size}" if isinstance(size, int) else f"{significant(size)}"
    else:
        text = significant(size / scale)
    return f"{sign}{text}{NBSP}{unit}"


def share(part, whole):
    """`part` of `whole` in per cent; "-" when there is no whole."""
    if not whole or part is None:
        return "-"
    percent = 100 * part / whole
    return significant(percent) + NBSP + "%"


def per_second(number, ns):
    """A count over a time as a rate: 4 320 per s."""
    return "-" if ns <= 0 or number is None else significant(number * 1e9 / ns) + NBSP + "per" + NBSP + "s"


def pages_size(pages):
    """Pages of 4 KiB as a size: 23 is 92 KiB."""
    if pages is None:
        return "-"
    size = pages * PAGE_KIB
    step = 0
    while size >= 1000 and step < len(_SIZES) - 1:
        size, step = size / 1024, step + 1
    return (f"{size}" if isinstance(size, int) else significant(size)) + NBSP + _SIZES[step]


def page_seconds(page_ns):
    """An integral of pages over nanoseconds, in page-seconds without the unit."""
    return significant(page_ns / 1e9)


def ranges(numbers):
    """A set of whole numbers as ranges: 0-3,8."""
    parts, row = [], sorted(set(numbers))
    while row:
        end = 1
        while end < len(row) and row[end] == row[0] + end:
            end += 1
        parts.append(str(row[0]) if end == 1 else f"{row[0]}-{row[end - 1]}")
        row = row[end:]
    return ",".join(parts) or "-"
