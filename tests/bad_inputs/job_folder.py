"""A folder with a job that is right, and the cases of bad input that change it."""

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from tests.conftest import write_parquet
from tests.helpers.command_line import Ended, nightscore

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89"
SECTIONS = "model: {name: MODEL}\ninput: {path: JOB/in}\noutput: {path: JOB/out}\n"
"""Of a settings file, see `settings_file`."""
GOOD = pa.table({"id": ["1", "2"], "text": ["a fine kettle", "a bad zip"]})


@dataclass(frozen=True)
class JobFolder:
    """A folder with a job that is right, which a case of bad input changes.

    The job's shard is `in/good.parquet`, its settings are `job.yaml`, and it publishes in `out`.
    """

    folder: Path
    checkpoint: Path
    until_done: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def prepare(self) -> None:
        """Write the shard and the settings."""
        write_parquet(self.folder / "in" / "good.parquet", GOOD)
        self.write_settings({})

    def settings(self, changes: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Return the job's settings, with changes."""
        base: dict[str, dict[str, Any]] = {
            "model": {"name": str(self.checkpoint)},
            "input": {"path": str(self.folder / "in")},
            "output": {"path": str(self.folder / "out")},
            "tuning": {"model_actors": 1},
        }
        return {name: {**base.get(name, {}), **changes.get(name, {})} for name in {**base, **changes}}

    def write_settings(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the job's settings, with changes."""
        text = yaml.safe_dump(self.settings(changes))
        (self.folder / "job.yaml").write_text(text, encoding="utf-8")

    def add(self, name: str, content: bytes | pa.Table, *, alone: bool = False) -> None:
        """Write another file of the input, or the only one."""
        if alone:
            shutil.rmtree(self.folder / "in")
        path = self.folder / "in" / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            write_parquet(path, content)

    def run(self, arguments: Sequence[str] = (), config: str = "job.yaml") -> Ended:
        """Run the job by the program's command line, in this process."""
        return nightscore("run", str(self.folder / config), *arguments, columns=200)


Change = Callable[[JobFolder], Sequence[str]]
"""Makes a job bad, and returns further arguments of the command line."""


@dataclass(frozen=True)
class Case:
    """A case of bad input that ends the whole run."""

    name: str
    apply: Change
    message: str
    """What the one error line must match; it names the file or the setting."""
    exit_code: int = 2
    on_ray: bool = False
    """Whether it shows only when work has started."""
    config: str = "job.yaml"


def setting(*overrides: str) -> Change:
    """Override settings; JOB stands for the job's folder."""

    def apply(job: JobFolder) -> list[str]:
        return [word for text in overrides for word in ("--set", text.replace("JOB", str(job.folder)))]

    return apply


def settings_file(content: str | bytes) -> Change:
    """Write another settings file; JOB and MODEL stand for the job's folder and checkpoint."""

    def apply(job: JobFolder) -> list[str]:
        raw = content if isinstance(content, bytes) else content.encode()
        filled = raw.replace(b"JOB", str(job.folder).encode()).replace(b"MODEL", str(job.checkpoint).encode())
        (job.folder / "job.yaml").write_bytes(filled)
        return []

    return apply


def shard(name: str, content: bytes | pa.Table | Callable[[], bytes], *, alone: bool = False) -> Change:
    """Add a shard beside the good one, or put it in its place."""

    def apply(job: JobFolder) -> list[str]:
        job.add(name, content() if callable(content) else content, alone=alone)
        return []

    return apply


def arguments(*words: str) -> Change:
    """Give further arguments; JOB stands for the job's folder."""

    def apply(job: JobFolder) -> list[str]:
        return [word.replace("JOB", str(job.folder)) for word in words]

    return apply
