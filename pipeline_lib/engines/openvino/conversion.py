"""Work with OpenVINO in a child process: a conversion runs the model, and either may end the process it is in."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_lib.engines.engine import Floats, Ids
from pipeline_lib.settings.settings import ModelSettings


class ConversionError(Exception):
    """A conversion that failed, or whose process died, in one line."""


@dataclass(frozen=True)
class Source:
    """A model to convert, and rows that it is known to answer: it is traced with these, and no made-up ones."""

    folder: Path
    """The checkpoint's files on this machine."""
    settings: ModelSettings
    """Under which rules of trust they are loaded."""
    inputs: tuple[str, ...]
    """What the tokenizer gives the model."""
    pads_safely: bool
    """Whether the rows may be one padded batch; else each is computed alone."""
    first_token_alone: bool
    rows: tuple[tuple[int, ...], ...]
    """Token ids."""
    types: tuple[tuple[int, ...], ...]
    """Token type ids."""
    beside: tuple[tuple[int, ...], ...] = ()
    """Token ids of more rows, which the model is not traced with: what was converted must answer these, too."""
    beside_types: tuple[tuple[int, ...], ...] = ()

    @property
    def traits(self) -> tuple[Any, ...]:
        """All that decides what becomes of a checkpoint's files."""
        return self.inputs, self.pads_safely, self.first_token_alone, self.rows, self.types

    def batches(self) -> list[tuple[list[Ids], list[Ids]]]:
        """Return the rows as batches that the model answers: one padded one if it may be, and each row alone."""
        rows, types = _arrays(self.rows), _arrays(self.types)
        alone = [([row], [kind]) for row, kind in zip(rows, types, strict=True)]
        return [(rows, types), *alone] if self.pads_safely and len(rows) > 1 else alone

    def trials(self) -> list[tuple[list[Ids], list[Ids]]]:
        """Return batches of many kinds that what was converted must answer as each row is answered alone.

        A trace keeps no choice that a model's code makes by its data: models that look for a row's end token refuse
        rows that have several, while a trace of them gives such rows each other's answers.
        """
        rows, types = _arrays(self.beside), _arrays(self.beside_types)
        alone = [([row], [kind]) for row, kind in zip(rows, types, strict=True)]
        if not self.pads_safely:
            return [*self.batches(), *alone]
        pairs = [[0, at] for at in range(1, len(rows))] + [[at, 0] for at in range(1, len(rows))]
        fours = [[*range(at, min(at + 4, len(rows)))] for at in range(len(rows))]
        chosen = [*pairs, *fours, [*range(len(rows))]]
        return [
            *self.batches(),
            *alone[:3],
            *(([rows[at] for at in few], [types[at] for at in few]) for few in chosen),
        ]


def _arrays(rows: tuple[tuple[int, ...], ...]) -> list[Ids]:
    return [np.array(row, np.int32) for row in rows]


def convert_in_child(source: Source, folder: Path) -> None:
    """Convert a model and leave it in a folder, which is there only once it is whole.

    Raises:
        ConversionError: it failed, or its process died.
    """
    _in_child("convert", asdict(source), folder)


def answers_of_child(path: Path, source: Source, threads: int) -> list[Floats]:
    """Return a converted model's logits for each of the source's batches, shape [rows, labels].

    Raises:
        ConversionError: it can't be run, or the process died of it.
    """
    with tempfile.TemporaryDirectory() as folder:
        answers = Path(folder, "answers.npz")
        _in_child("answer", asdict(source), path, answers, threads)
        with np.load(answers) as found:
            return [found[f"arr_{number}"] for number in range(len(found.files))]


def _in_child(task: str, source: dict[str, Any], *more: Any) -> None:
    """Have `converting` do a task in a process that ends with this one, which holds the other end of its input."""
    source["settings"] = source["settings"].model_dump()
    order = json.dumps([task, source, *more], default=str)
    # The child takes this very package, wherever it lies, and nothing from the folder that the program runs in.
    paths = [str(Path(__file__).parents[3]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-P", "-m", "pipeline_lib.engines.openvino.conversion_worker"]
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(  # noqa: S603 - our own module
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, env=environment
        ) as child:
            try:
                _tell(child, order)
                code = child.wait()
            finally:
                child.kill()
        if code:
            said.seek(0)
            raise ConversionError(_reason(code, said.read().decode(errors="replace")))


def _tell(child: "subprocess.Popen[bytes]", order: str) -> None:
    assert child.stdin  # noqa: S101 - asked for above
    try:
        child.stdin.write(order.encode() + b"\n")
        child.stdin.flush()
    except BrokenPipeError:
        pass  # it died before it read all of it: its exit code tells


def _reason(code: int, said: str) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        memory = "; is there memory for it?" if name == "SIGKILL" else ""
        return f"the process that converts it was ended by {name}{memory}"
    lines = [line for line in said.splitlines() if line.strip()]
    return f"{lines[-1]:.200}" if lines else f"the process that converts it ended with exit code {code}"
