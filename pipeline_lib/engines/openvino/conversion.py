"""Convert and run models with OpenVINO in a child process, since either may crash the process that does it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_lib.checkpoints.checkpoint import IdsAndTypes, TokenizedTexts
from pipeline_lib.engines.engine import Floats
from pipeline_lib.settings.sections.model import ModelSettings
from pipeline_lib.settings.sections.output import Pooling


class ConversionError(Exception):
    """The conversion failed or its process crashed; the message is one line."""


@dataclass(frozen=True)
class Source:
    """A model to convert, and rows that it is known to answer: the trace uses these, as it may refuse others."""

    folder: Path
    """The checkpoint's files on this machine."""
    settings: ModelSettings
    """The rules of trust under which they are loaded."""
    inputs: tuple[str, ...]
    """What the tokenizer gives the model."""
    pads_safely: bool
    """Whether the rows may be one padded batch; else each is computed alone."""
    cls_pooling: bool
    """Whether the last layer computes the first token alone."""
    rows: TokenizedTexts
    """The rows that the model is traced with."""
    more_rows: TokenizedTexts = field(default_factory=TokenizedTexts)
    """Rows that it is not traced with: the converted model must answer these, too."""
    embedding: Pooling = "none"
    """How the last hidden state is pooled to an embedding behind the logits, if it is."""
    calibration: TokenizedTexts = field(default_factory=TokenizedTexts)
    """The rows on which it is quantized to int8; none where it is not."""

    @property
    def decisive(self) -> tuple[Any, ...]:
        """All that decides what a checkpoint's files are converted to."""
        plain = self.inputs, self.pads_safely, self.cls_pooling, self.rows.ids, self.rows.type_ids
        more = [self.embedding] * (self.embedding != "none")
        calibration = [self.calibration] if len(self.calibration) else []
        return *plain, *more, *calibration

    def batches(self) -> list[IdsAndTypes]:
        """Return the rows as batches that the model answers: one padded batch if it may be, and each row alone."""
        together = [self.rows.arrays()] if self.pads_safely and len(self.rows) > 1 else []
        return [*together, *_alone(self.rows)]

    def trials(self) -> list[IdsAndTypes]:
        """Return batches of many kinds, whose rows the converted model must answer as PyTorch answers each alone.

        A trace does not keep choices that a model's code makes by its data. For example, models that look for the
        end token of a row refuse rows with several, while a trace of them gives such rows the answers of others.
        """
        if not self.pads_safely:
            return [*self.batches(), *_alone(self.more_rows)]
        count = len(self.more_rows)
        pairs = [[0, other] for other in range(1, count)] + [[other, 0] for other in range(1, count)]
        fours = [[*range(first, min(first + 4, count))] for first in range(count)]
        chosen = [*pairs, *fours, [*range(count)]]
        together = [self.more_rows.take(numbers).arrays() for numbers in chosen]
        return [*self.batches(), *_alone(self.more_rows)[:3], *together]


def _alone(rows: TokenizedTexts) -> list[IdsAndTypes]:
    return [([ids], [type_ids]) for ids, type_ids in zip(*rows.arrays(), strict=True)]


def convert_in_child(source: Source, folder: Path) -> None:
    """Convert a model and leave it in a folder, which is there only once it is whole.

    Raises:
        ConversionError: it failed, or its process died.
    """
    _in_child("convert", asdict(source), folder)


def answers_of_child(path: Path, source: Source, threads: Sequence[int]) -> list[list[Floats]]:
    """Return a converted model's logits by each number of threads, for each of the source's batches.

    Logits have the shape [rows, labels].

    Raises:
        ConversionError: it can't be run, or the process died of it.
    """
    with tempfile.TemporaryDirectory() as folder:
        answers = Path(folder, "answers.npz")
        _in_child("answer", asdict(source), path, answers, threads)
        with np.load(answers) as arrays:
            found = [arrays[f"arr_{number}"] for number in range(len(arrays.files))]
    batches = len(found) // len(threads)
    return [found[first : first + batches] for first in range(0, len(found), batches)]


def _in_child(task: str, source: dict[str, Any], *more: Any) -> None:
    """Do a task of `conversion_worker` in a child process, which ends when its input is closed."""
    source["settings"] = source["settings"].model_dump()
    order = json.dumps([task, source, *more], default=str)
    # The child imports this very package, wherever it lies, and nothing from the folder that the program runs in.
    paths = [str(Path(__file__).parents[3]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-P", "-m", "pipeline_lib.engines.openvino.conversion_worker"]
    with tempfile.TemporaryFile() as stderr:
        with subprocess.Popen(  # noqa: S603 - our own module
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=stderr, env=environment
        ) as child:
            try:
                _send(child, order)
                code = child.wait()
            finally:
                child.kill()
        if code:
            stderr.seek(0)
            raise ConversionError(_reason(code, stderr.read().decode(errors="replace")))


def _send(child: "subprocess.Popen[bytes]", order: str) -> None:
    assert child.stdin  # noqa: S101 - asked for above
    try:
        child.stdin.write(order.encode() + b"\n")
        child.stdin.flush()
    except BrokenPipeError:
        pass  # the child died before it read all of this; its exit code says so


def _reason(code: int, stderr: str) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        memory = "; is there memory for it?" if name == "SIGKILL" else ""
        return f"the process that converts it was ended by {name}{memory}"
    lines = [line for line in stderr.splitlines() if line.strip()]
    return f"{lines[-1]:.200}" if lines else f"the process that converts it ended with exit code {code}"
