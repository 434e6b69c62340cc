"""An estimate in words."""

from collections.abc import Callable

from pipeline_lib.estimating.estimate import ACTORS, Estimate
from pipeline_lib.estimating.figures import Interval
from pipeline_lib.messages import count, duration, size


def estimate_lines(estimate: Estimate) -> list[tuple[str, str]]:
    """Return an estimate as (topic, text) lines."""
    each = estimate
    where = "this process" if each.local else f"{count(each.actors, 'actor')} on {each.device.upper()}"
    lines = [
        (
            "estimate",
            f"{_shown(each.seconds, duration)} for {count(each.rows, 'row')} with {where}, from {each.basis}",
        ),
        ("scoring", f"{_shown(each.scoring_seconds, duration)}, {_shown(each.rows_per_second, _whole)} rows/s"),
        ("start", f"{_shown(each.start_seconds, duration)} before and after scoring ({each.start_basis})"),
    ]
    if each.tokens.value:
        per_row = f"{each.tokens_per_row.value:,.0f} a row"
        lines.append(
            ("tokens", f"{_shown(each.tokens, _whole)}, {per_row}; {_percent(each.truncated_share)} of rows cut")
        )
    codes = ", ".join(f"{rows:,.0f} {code}" for code, rows in each.reject_codes.items())
    lines.append(("rejects", f"{_percent(each.rejected_share)} of rows{f': about {codes}' if codes else ''}"))
    if each.bytes:
        lines.append(("size", f"{_shown(each.bytes, size)} of output"))
    if not each.local:
        numbers = sorted({*ACTORS, each.actors})
        times = ", ".join(f"{number}: {_shown(each.hours_at(number), _time)}" for number in numbers)
        lines.append(("actors", f"time with so many of this kind, each with cores of its own: {times}"))
    return lines


def _shown(interval: Interval, number: Callable[[float], str]) -> str:
    return f"{number(interval.value)} ({number(interval.low)} to {number(interval.high)})"


def _whole(number: float) -> str:
    return f"{number:,.0f}"


def _time(hours: float) -> str:
    return duration(hours * 3600)


def _percent(interval: Interval) -> str:
    return _shown(interval, lambda number: f"{number:.2%}")
