"""What a schedule runs, when and where: checked before any file of it is written."""

import datetime as dt
import os
import re
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from pipeline_lib.errors import SettingsError
from pipeline_lib.nights.dates import MOST_NIGHTS, time_zone
from pipeline_lib.settings.settings import Settings

# KubeRay allows 36 characters for a RayCronJob, and adds to them for the RayJob and the RayCluster that it makes.
_LONGEST_NAME = 36
# RFC 1035, which Kubernetes and KubeRay follow for names.
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_IMAGE = re.compile(r"[A-Za-z0-9][\w.\-]*(:\d+)?(/[\w.\-]+)*(:[\w.\-]+)?(@sha256:[0-9a-f]{64})?", re.ASCII)
_HOUR = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII)


@dataclass(frozen=True)
class Schedule:
    """The nightly work of one settings file.

    Raises:
        SettingsError: an option has a value that no scheduler takes, or the output has no place for the date.
    """

    config: Path
    """As the user named it."""
    settings: Settings
    """Of this file with the overrides, with `{date}` still in its paths."""
    overrides: tuple[str, ...] = ()
    """As `section.key=value`."""
    name: str = ""
    """Of the files, units and objects; empty: the name of the settings file."""
    at: str = "03:30"
    """HH:MM in the time zone."""
    timezone: str = "UTC"
    """Of the hour, and of the dates; a name of the IANA database."""
    last: int = 7
    """Nights to look at, up to yesterday."""
    folder: str | None = None
    """Where Nightscore is on the machine that runs it; null: this installation, in the current folder."""
    image: str = ""
    """Container image; empty: the one that the Dockerfile beside the schedules is for."""
    namespace: str = "default"
    """Of Kubernetes."""

    def __post_init__(self) -> None:
        """Fill in what depends on other fields, and check all of them."""
        if not self.name:
            object.__setattr__(self, "name", _as_name(self.config.stem))
        if not self.image:
            object.__setattr__(self, "image", "nightscore:latest")
        self._check_options()
        self._check_names()
        for text in (str(self.config), self.folder or "", *self.overrides):
            _refuse_control_characters(text)

    def _check_options(self) -> None:
        if "{date}" not in self.settings.output.path:
            raise SettingsError(
                f"{self.config}: a schedule needs an output for each night; output.path "
                f"{self.settings.output.path!r} has no {{date}}"
            )
        if not _HOUR.fullmatch(self.at):
            raise SettingsError(
                f"--at {self.at!r}: expected an hour and a minute from 00:00 to 23:59, such as 03:30"
            )
        time_zone(self.timezone)
        if not 1 <= self.last <= MOST_NIGHTS:
            raise SettingsError(f"--last {self.last}: expected a number from 1 to {MOST_NIGHTS:,}")
        if self.folder is not None and not self.folder.startswith("/"):
            raise SettingsError(f"--folder {self.folder!r}: expected an absolute path, such as /opt/nightscore")

    def _check_names(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.name) > _LONGEST_NAME:
            raise SettingsError(
                f"--name {self.name!r}: expected at most {_LONGEST_NAME} lower-case letters, digits and hyphens, "
                f"beginning with a letter and ending with a letter or digit, such as {_as_name(self.name)!r}"
            )
        if not _NAMESPACE.fullmatch(self.namespace):
            raise SettingsError(
                f"--namespace {self.namespace!r}: expected at most 63 lower-case letters, digits and hyphens"
            )
        if not _IMAGE.fullmatch(self.image):
            raise SettingsError(
                f"--image {self.image!r}: expected the name of a container image, such as "
                "registry.example.com/nightscore:1.0"
            )

    @property
    def hour(self) -> int:
        """The hour of the start."""
        return int(self.at[:2])

    @property
    def minute(self) -> int:
        """The minute of the start."""
        return int(self.at[3:])

    @property
    def home(self) -> str:
        """The absolute path of the folder that the job works in; relative paths of the settings start there."""
        return os.path.normpath(self.folder or os.getcwd())

    @property
    def config_path(self) -> str:
        """The absolute path of the settings file on the machine that runs the job."""
        return os.path.normpath(os.path.join(self.home, self.config))

    @property
    def program(self) -> tuple[str, ...]:
        """The command that is Nightscore on the machine that runs the job, by its absolute path."""
        if self.folder is not None:
            return (f"{self.home}/.venv/bin/nightscore",)
        script = Path(sys.executable).with_name("nightscore")
        return (str(script),) if script.exists() else (sys.executable, "-m", "jobs.score")

    def arguments(self, config: str) -> list[str]:
        """Return the arguments of the program, for a settings file under this path."""
        options = ["--only", "missing", "--last", str(self.last), "--timezone", self.timezone]
        return ["backfill", config, *options, *(word for text in self.overrides for word in ("--set", text))]

    @property
    def first_day(self) -> dt.date:
        """A day before any night that this schedule starts; Airflow wants one."""
        return dt.date(2026, 1, 1)


def _as_name(text: str) -> str:
    """Return the nearest name that all schedulers take."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return (name if name[:1].isalpha() else f"nights-{name}")[:_LONGEST_NAME].strip("-")


def _refuse_control_characters(text: str) -> None:
    """Refuse what would end a line of a crontab or of a unit, and what systemd or YAML take for no text."""
    for character in text:
        if unicodedata.category(character) in {"Cc", "Cn", "Cs", "Zl", "Zp"}:
            raise SettingsError(f"{text!r}: a schedule can't hold the character {character!r}")
