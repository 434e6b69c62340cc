"""`nightscore report` makes the page of a night again, and `nightscore index` that of all nights."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.commands.ending import ended, print_topic
from jobs.commands.options import Config, Date, Debug, Model, Overrides, day_of
from pipeline_lib.errors import SettingsError
from pipeline_lib.machine.terminal import escaped_output
from pipeline_lib.settings.settings_file import load_jobs

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


def report(
    config: Config, date: Date = None, overrides: Overrides = None, *, model: Model = None, debug: Debug = False
) -> None:
    """Make the page of a night again, without reading a score, and print where it is."""

    def job() -> None:
        jobs, day = load_jobs(config, overrides or (), model), day_of(date)
        for settings in jobs.values():
            settings.on_date(day)  # refuses a date that is missing, or that the output has no place for
        from pipeline_lib.reporting.pages.writing import write_page

        for settings in jobs.values():
            print_topic("page", write_page(settings.output.path, day))

    with escaped_output():
        ended(job, debug=debug)


def index(output: Output, *, to: To = None, debug: Debug = False) -> None:
    """Make one page of all nights of an output, each a line with its verdict, and print where it is."""

    def job() -> None:
        from pipeline_lib.reporting.pages.index_page import write_index

        paths = _paths_of(output)
        if to and len(paths) > 1:
            raise SettingsError(
                f"--to: {output!r} has several models, each with a page; give --to with one output.path"
            )
        for name, path in paths.items():
            print_topic("page", write_index(path, to, name))

    with escaped_output():
        ended(job, debug=debug)


def _paths_of(output: str) -> dict[str, str]:
    """Return the path of an output that may be named by a settings file, or of each model's output by its name."""
    if not output.endswith((".yaml", ".yml")):
        return {"": output}
    if not Path(output).is_file():
        raise SettingsError(f"{output!r}: there is no such settings file; give one, or the folder of an output")
    return {name: settings.output.path for name, settings in load_jobs(Path(output)).items()}
