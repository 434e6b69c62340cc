"""`nightscore schedule`: prints or writes the files that start the job every night."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from jobs.commands.ending import ended
from jobs.commands.options import Config, Debug, Overrides, TimeZone
from pipeline_lib.errors import SettingsError
from pipeline_lib.machine.terminal import escaped_output, printable
from pipeline_lib.masking import has_secret
from pipeline_lib.nights.schedules.rendering import Scheduler, schedule_files
from pipeline_lib.nights.schedules.schedule import Schedule
from pipeline_lib.settings.settings_file import load_jobs

Kind = Annotated[Scheduler, typer.Option("--for", help="What starts the job.")]
At = Annotated[str, typer.Option(metavar="HH:MM", help="When it starts every day.")]
Last = Annotated[int, typer.Option(metavar="N", help="Nights to look at, up to yesterday.")]
Name = Annotated[
    str, typer.Option(metavar="NAME", help="Name of the schedule. By default that of the settings file.")
]
Folder = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="For cron, systemd and airflow: where Nightscore and its .venv are on the machine that runs it. "
        "By default the current folder, and the installation that runs this command.",
    ),
]
Image = Annotated[str, typer.Option(metavar="IMAGE", help="For kubernetes and kuberay: the container image.")]
Namespace = Annotated[str, typer.Option(metavar="NAME", help="For kubernetes and kuberay: the namespace.")]
Output = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Write the files into this folder instead of printing them.")
]


def schedule(  # noqa: PLR0913 - its options
    config: Config,
    overrides: Overrides = None,
    *,
    scheduler: Kind,
    at: At = Schedule.at,
    timezone: TimeZone = Schedule.timezone,
    last: Last = Schedule.last,
    name: Name = Schedule.name,
    folder: Folder = Schedule.folder,
    image: Image = Schedule.image,
    namespace: Namespace = Schedule.namespace,
    output: Output = None,
    debug: Debug = False,
) -> None:
    """Make files that start the job every night."""

    def job() -> None:
        chosen = Schedule(
            config=config,
            settings=next(iter(load_jobs(config, overrides or ()).values())),  # paths and tuning are those of all
            overrides=tuple(overrides or ()),
            name=name,
            at=at,
            timezone=timezone,
            last=last,
            folder=folder,
            image=image,
            namespace=namespace,
        )
        _refuse_secrets(chosen)
        _deliver(schedule_files(scheduler, chosen), output)

    with escaped_output():
        ended(job, debug=debug)


def _refuse_secrets(chosen: Schedule) -> None:
    """Refuse an override that would put a secret into a file; settings files are checked when they are read."""
    for override in chosen.overrides:
        if has_secret(override):
            raise SettingsError(
                f"--set {override!r}: a schedule must not hold a secret; give it by the environment"
            )


def _deliver(files: dict[str, str], output: Path | None) -> None:
    """Print the files, or write them and print their paths."""
    if output is None:
        for name, text in files.items():
            # What a shell or an editor makes of a printed file must be the file itself, so nothing is escaped here.
            heading = f"# {name}\n" if len(files) > 1 else ""
            sys.stdout.write(heading + text)
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (output / name).write_text(text, encoding="utf-8")
            print(printable(str(output / name)))
    except OSError as error:
        raise SettingsError(f"--output {str(output)!r}: can't write there: {error}") from None
