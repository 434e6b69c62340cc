"""How a command is watched from outside: its metrics file, and the format of its lines on standard error."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.commands.ending import note
from pipeline_lib.errors import SettingsError
from pipeline_lib.machine.terminal import printable

if TYPE_CHECKING:
    from pipeline_lib.reporting.metrics_file import MetricsFile
    from pipeline_lib.reporting.outcome import Outcome

MetricsPath = Annotated[
    Path | None,
    typer.Option(
        "--metrics-file",
        metavar="PATH",
        help="Keep here how the last run ended, for node_exporter's textfile collector; such as nightscore.prom.",
    ),
]


class LogFormat(StrEnum):
    """How the lines on standard error look."""

    TEXT = "text"
    JSON = "json"


Log = Annotated[
    LogFormat, typer.Option("--log-format", help="What standard error has: text, or a JSON object in each line.")
]


def wants_json() -> bool:
    """Return whether standard error shall be JSON; looked up before options are parsed, since that may fail too."""
    return "--log-format json" in " ".join(sys.argv[1:]).replace("=", " ")


def job_name(config: Path) -> str:
    """Return the name of a job in metrics: that of its settings file."""
    return printable(config.stem)


class Watched:
    """The metrics file of a command, if it has one."""

    def __init__(self) -> None:
        self._file: MetricsFile | None = None

    def begin(self, path: Path | None, config: Path) -> None:
        """Write that the command works.

        Raises:
            SettingsError: the file can't be written.
        """
        if path is None:
            return
        from pipeline_lib.reporting.metrics_file import MetricsFile

        file = MetricsFile(path, job_name(config))
        file.begin()
        self._file = file
        if path.suffix != ".prom":
            note("note", f"node_exporter reads files that end in .prom, so it will not read {str(path)!r}")

    def ended(self, outcome: "Outcome") -> None:
        """Write how the command ended; it is no failure of the run if that fails."""
        try:
            if self._file:
                self._file.ended(outcome)
        except SettingsError as error:
            note("note", str(error))
