"""Ways to change a good checkpoint that several bad ones share."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bad_inputs.job_folder import Change, JobFolder, setting


def changed_model(change: Callable[[Path], object], *more: str | Callable[[Path], object]) -> Change:
    """Change a copy of the checkpoint, and name it in the settings; more changes and settings may follow."""

    def apply(job: JobFolder) -> list[str]:
        folder = shutil.copytree(job.checkpoint, job.folder / "changed")
        for step in (change, *(step for step in more if not isinstance(step, str))):
            step(folder)
        overrides = [text for text in more if isinstance(text, str)]
        return list(setting(f"model.name={folder}", *overrides)(job))

    return apply


def without(*names: str) -> Callable[[Path], None]:
    """Delete files, by name or pattern."""

    def change(folder: Path) -> None:
        for name in names:
            for path in folder.glob(name):
                path.unlink()

    return change


def with_config(**changes: Any) -> Callable[[Path], None]:
    """Change keys of config.json."""

    def change(folder: Path) -> None:
        values = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**values, **changes}))

    return change


def with_file(name: str, content: bytes) -> Callable[[Path], None]:
    """Write a file."""

    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return change


def cut_off(name: str, share: float) -> Callable[[Path], None]:
    """Keep only the first share of a file."""

    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * share)])

    return change


def with_named_pipe(name: str) -> Callable[[Path], None]:
    """Put a named pipe in the place of a file."""

    def apply(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return apply
