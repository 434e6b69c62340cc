"""Numbers, times and sizes as messages show them."""


def count(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> count(1, "row"), count(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def amount(number: float, noun: str) -> str:
    """Return a number that may be a fraction, with its noun.

    >>> amount(1, "GPU"), amount(0.5, "CPU"), amount(8, "CPU")
    ('1 GPU', '0.5 CPUs', '8 CPUs')
    """
    return f"{number:g} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a time as hours, minutes and seconds.

    >>> duration(4.26), duration(842), duration(7265)
    ('4.3s', '14m02s', '2h01m')
    """
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    return f"{minutes // 60}h{minutes % 60:02d}m"


def size(number: float) -> str:
    """Return a size in bytes with its unit.

    >>> size(512), size(3 << 20), size(1.5 * 2**30)
    ('512 B', '3.0 MiB', '1.5 GiB')
    """
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def shortened(text: str, most: int) -> str:
    """Return text, cut to a number of characters.

    >>> shortened("a label of many words", 8), shortened("short", 8)
    ('a label…', 'short')
    """
    return text if len(text) <= most else text[: most - 1] + "…"
