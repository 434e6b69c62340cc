"""Templates to HTML: all that is shown is escaped, and nothing in a page can run or be fetched."""

import functools
from importlib.metadata import version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline_lib.machine.terminal import printable
from pipeline_lib.messages import duration, shortened, size

LONGEST_NAME = 120
"""Characters of a label, a path or a message that are shown at most."""


def rendered(template: str, **values: Any) -> bytes:
    """Return the HTML of a template.

    Args:
        template: its name without `.html.j2`.
        values: what it shows; text is escaped, whatever it is.
    """
    return _templates().get_template(f"{template}.html.j2").render(**values).encode("utf-8")


def shown(text: object, most: int = LONGEST_NAME) -> Markup:
    r"""Return text from outside as HTML: on one line, shortened, and isolated from the direction of what is around.

    >>> print(shown("<b>\u202eevil"))
    <bdi>&lt;b&gt;\u202eevil</bdi>
    """
    return Markup("<bdi>{}</bdi>").format(printable(shortened(str(text), most)))


def number(value: float | None) -> str:
    """Return a whole number with commas, or a dash for one that is not known."""
    return "—" if value is None else f"{value:,.0f}"


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share as a percentage; one that is not 0 never looks like 0, nor like 100 if it is less.

    >>> percent(0.5), percent(0.0001), percent(0.99999), percent(None)
    ('50.0%', '<0.1%', '>99.9%', '—')
    """
    if value is None:
        return "—"
    least = 10 ** -(digits + 2)
    if 0 < abs(value) < least / 2:
        return f"<{least:.{digits}%}"
    if 1 - least / 2 < value < 1:
        return f">{1 - least:.{digits}%}"
    return f"{value:.{digits}%}"


def points(difference: float) -> str:
    """Return the difference of two shares in points of a hundred.

    >>> points(0.12)
    '12.0 pt'
    """
    return f"{100 * difference:.1f} pt"


def decimal(value: float | None, digits: int = 3) -> str:
    """Return a number with a fixed number of decimals, or a dash."""
    return "—" if value is None else f"{value:,.{digits}f}"


def _escaped(value: Any) -> Any:
    """Return a value as a template prints it: no text without `printable`, also where a filter was forgotten."""
    return printable(value) if type(value) is str else value


@functools.cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipeline_lib.reporting.pages"),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=_escaped,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (shown, number, percent, points, decimal, duration, size)
    environment.globals["made_by"] = version("nightscore")
    environment.filters |= {each.__name__: each for each in filters}
    return environment
