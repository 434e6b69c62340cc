"""`nightscore report` makes the page of a night again, and `nightscore index` that of all nights."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.commands.ending import ended, print_topic
from jobs.commands.options import Config, Date, Debug, Overrides, day_of
from pipeline_lib.errors import SettingsError
from pipeline_lib.machine.terminal import escaped_output
from pipeline_lib.settings.settings_file import load_settings

Output = Annotated[
    str,
    typer.Argument(
        metavar="OUTPUT",
        help="Folder or URL that has the nights, such as out/reviews; output.path; or a settings file.",
    ),
]
To = Annotated[
    str | None, typer.Option(metavar="FILE", help="The file to write. Default: _index.html beside the nights.")
]


def report(config: Config, date: Date = None, overrides: Overrides = None, *, debug: Debug = False) -> None:
    """Make the page of a night again, without reading a score, and print where it is."""

    def job() -> None:
        settings, day = load_settings(config, overrides or ()), day_of(date)
        settings.on_date(day)  # refuses a date that is missing, or that the output has no place for
        from pipeline_lib.reporting.pages.writing import write_page

        print_topic("page", write_page(settings.output.path, day))

    with escaped_output():
        ended(job, debug=debug)


def index(output: Output, *, to: To = None, debug: Debug = False) -> None:
    """Make one page of all nights of an output, each a line with its verdict, and print where it is."""

    def job() -> None:
        from pipeline_lib.reporting.pages.index_page import write_index

        print_topic("page", write_index(_path_of(output), to))

    with escaped_output():
        ended(job, debug=debug)


def _path_of(output: str) -> str:
    """Return the path of an output that may be named by a settings file."""
    if not output.endswith((".yaml", ".yml")):
        return output
    if not Path(output).is_file():
        raise SettingsError(f"{output!r}: there is no such settings file; give one, or the folder of an output")
    return load_settings(Path(output), ()).output.path
