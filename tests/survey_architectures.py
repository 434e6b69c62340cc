"""Each architecture that transformers lists, tiny: does a row's answer depend on its neighbours?

Run as `python tests/survey_architectures.py [architecture ...]`; prints a table in Markdown. Every row's answer is
compared with what a copy of the model, never used before, answers to that row alone.
"""

import copy
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from any_architecture import EVERY, CannotBeBuiltError, build

from pipeline_lib import loading
from pipeline_lib.checkpoint import Checkpoint
from pipeline_lib.config import ModelSettings
from pipeline_lib.engine import Engine, Floats, Ids, apart
from pipeline_lib.engines import load_engine
from pipeline_lib.errors import NightscoreError
from pipeline_lib.examiner import examine
from pipeline_lib.packed_engine import PackedEngine
from pipeline_lib.settings_file import parse_settings
from pipeline_lib.torch_engine import TorchEngine

LENGTHS = (3, 7, 16, 31, 48, 49, 63, 64, 65, 100, 127, 128, 129, 200, 257, 400, 511, 512, 513, 700, 999, 1000)


@dataclass(frozen=True)
class Line:
    """What was found of one architecture; differences are of logits, relative where these are above 1."""

    architecture: str
    verdict: str
    padded: float | None = None
    equal: float | None = None
    packed: float | None = None


def survey(architecture: str) -> Line:
    """Build, examine and run one architecture in every way that is accepted for it."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            build(architecture, Path(folder))
        except CannotBeBuiltError as error:
            return Line(architecture, f"not built: {error}")
        sections = {
            "model": {"name": folder, "engine": "torch", "precision": "auto"},
            "input": {"path": "-"},
            "output": {"path": "-"},
        }
        settings = parse_settings(sections)
        try:
            checkpoint = examine(settings)
        except NightscoreError as error:
            return Line(architecture, f"refused: {str(error).replace(folder, '')}")
        return Line(architecture, *compared(Path(folder), settings.model, checkpoint))


def compared(
    folder: Path, settings: ModelSettings, checkpoint: Checkpoint
) -> tuple[str, float | None, float | None, float | None]:
    """Run a checkpoint in every way that is accepted for it, and compare with each row alone."""
    rows = rows_of(checkpoint)
    model = loading.load_model(folder, settings, "float32")
    alone = [_alone(model, checkpoint, row) for row in rows]
    engine = load_engine(folder, settings, checkpoint, "cpu", "float32")
    equal = _worst(engine, rows, alone, _equal(rows))
    padded = _worst(engine, rows, alone, _mixed(rows)) if checkpoint.pads_safely else None
    packed = None
    if checkpoint.packs_safely:
        packed = _worst(PackedEngine(model, checkpoint.inputs, "cpu"), rows, alone, [*_mixed(rows), *_equal(rows)])
    ways = [
        name for name, is_so in (("packed", checkpoint.packs_safely), ("padded", checkpoint.pads_safely)) if is_so
    ]
    verdict = ", ".join([*ways, "equal lengths"]) + ", put back after each batch" * checkpoint.keeps_state
    return verdict, padded, equal, packed


def rows_of(checkpoint: Checkpoint) -> list[Ids]:
    """Return two rows of each length that the checkpoint takes."""
    chance = np.random.default_rng(0)
    most = checkpoint.max_tokens or max(LENGTHS)
    lengths = [length for length in LENGTHS if length <= most for _ in range(2)]
    words = [chance.integers(10, 200, length - 2) for length in lengths]
    return [np.concatenate([[1], row, [2]]).astype(np.int32) for row in words]


def _alone(model: Any, checkpoint: Checkpoint, row: Ids) -> Floats:
    found = TorchEngine(copy.deepcopy(model), checkpoint.inputs, "cpu").logits([row], [np.zeros_like(row)])
    return np.asarray(found[0], np.float32)


def _equal(rows: Sequence[Ids]) -> list[list[int]]:
    """Return batches of rows of one length, and single rows; short ones first, then the other way round."""
    at = range(len(rows))
    pairs = [[place for place in at if len(rows[place]) == length] for length in sorted({len(row) for row in rows})]
    singles = [[place] for place in at]
    return [*pairs, *pairs[::-1], *singles, *singles[::-1]]


def _mixed(rows: Sequence[Ids]) -> list[list[int]]:
    """Return batches of every row beside the longest and the shortest, in both orders, and of all together."""
    beside = [[0, place] for place in range(1, len(rows))] + [
        [place, len(rows) - 1] for place in range(len(rows) - 1)
    ]
    every = list(range(len(rows)))
    return [*beside, every, every[::-1], *([place] for place in every), *(batch[::-1] for batch in beside)]


def _worst(engine: Engine, rows: Sequence[Ids], alone: Sequence[Floats], batches: Iterable[Sequence[int]]) -> float:
    worst = 0.0
    for batch in batches:
        found = _answers(engine, [rows[at] for at in batch])
        worst = max(worst, *(apart(one, alone[at]) for one, at in zip(found, batch, strict=True)))
    return worst


def _answers(engine: Engine, rows: list[Ids]) -> Floats:
    return engine.logits(rows, [np.zeros_like(row) for row in rows])


def table(lines: Iterable[Line]) -> str:
    """Return the lines as a table in Markdown, and their sum."""
    shown: Callable[[float | None], str] = lambda value: "" if value is None else f"{value:.1e}"  # noqa: E731
    head = "| architecture | how its rows go together | padded | equal lengths | packed |\n" + "| --- " * 5 + "|"
    return "\n".join(
        [
            head,
            *(
                f"| {line.architecture} | {line.verdict} | {shown(line.padded)} | {shown(line.equal)} | "
                f"{shown(line.packed)} |"
                for line in lines
            ),
        ]
    )


def _main(names: Sequence[str]) -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    lines = []
    for name in names or EVERY:
        try:
            line = survey(name)
        except Exception as error:  # noqa: BLE001 - one that fails shall not hide the others
            line = Line(name, f"FAILED: {type(error).__name__}: {' '.join(str(error).split()):.150}")
        lines.append(line)
        print(line, file=sys.stderr, flush=True)
    print(table(lines))


if __name__ == "__main__":
    _main(sys.argv[1:])
