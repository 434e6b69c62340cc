"""The options that several commands have, and what they mean."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline_lib.nights.dates import parse_date

if TYPE_CHECKING:
    from pipeline_lib.execution.executor import Executor

Config = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="YAML file with the job's settings, such as configs/sample.yaml.")
]
Date = Annotated[
    str | None, typer.Option(metavar="YYYY-MM-DD", help="The day that {date} in the paths stands for.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, such as output.logits=true; repeatable."),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME", help="Of several models in the settings file, only the one of this name."
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Local = Annotated[
    bool, typer.Option("--local", help="Work in this process, without Ray: for small inputs and for debuggers.")
]
Replace = Annotated[
    bool,
    typer.Option("--replace", help="Publish in place of another version, or without shards that were removed."),
]
Last = Annotated[
    int | None, typer.Option(metavar="N", help="The N nights up to yesterday. Default, without --from: 14.")
]
First = Annotated[str | None, typer.Option("--from", metavar="YYYY-MM-DD", help="The first night; needs --to.")]
To = Annotated[str | None, typer.Option("--to", metavar="YYYY-MM-DD", help="The last night, inclusive.")]
TimeZone = Annotated[str, typer.Option(metavar="ZONE", help="Where yesterday is meant, such as Europe/Berlin.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print a list with an object for each night.")]
Check = Annotated[bool, typer.Option("--check", help="Exit with 3 unless every night is published.")]
Accept = Annotated[
    str | None,
    typer.Option(
        metavar="WHY", help="Publish the result even if a limit stops it; the words are recorded with it."
    ),
]


def executor_for(*, local: bool, job: str = "") -> "Executor":
    """Return where the steps run; Ray's metrics have the job's name."""
    if local:
        from pipeline_lib.execution.local_executor import LocalExecutor

        return LocalExecutor()
    from pipeline_lib.execution.ray_executor import RayExecutor

    return RayExecutor(job=job)


def day_of(date: str | None) -> dt.date | None:
    """Return the date that `--date` names.

    Raises:
        SettingsError: it is none.
    """
    return None if date is None else parse_date(date, "--date")
