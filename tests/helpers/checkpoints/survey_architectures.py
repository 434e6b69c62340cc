"""Each architecture that transformers lists, tiny: does a row's answer depend on its neighbours?

Run as `python -m tests.helpers.checkpoints.survey_architectures [--table FILE] [architecture ...]`; writes a table
in Markdown, a line as soon as an architecture is done, and its summary at the end. Every row's answer is compared
with what a copy of the model, never used before, answers to that row alone. Beside it stands how far that answer is
itself from the same model's in float64: a difference of that size is rounding, and a larger one is to be explained.
"""

import argparse
import copy
import difflib
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch

from pipeline_lib.checkpoints import loading
from pipeline_lib.checkpoints.activation import Activation
from pipeline_lib.checkpoints.checkpoint import Checkpoint
from pipeline_lib.engines.computation import computation_of
from pipeline_lib.engines.engine import Engine, Floats, Ids, largest_difference
from pipeline_lib.engines.engine_loading import load_engine
from pipeline_lib.engines.inspection.inspector import inspect_checkpoint
from pipeline_lib.engines.packed.packed_engine import PackedEngine
from pipeline_lib.engines.torch_engine import TorchEngine
from pipeline_lib.errors import NightscoreError
from pipeline_lib.settings.settings import Settings
from pipeline_lib.settings.settings_file import parse_settings
from tests.helpers.checkpoints.any_architecture import EVERY, CannotBeBuiltError, build

LENGTHS = (3, 7, 16, 31, 48, 49, 63, 64, 65, 100, 127, 128, 129, 200, 257, 400, 511, 512, 513, 700, 999, 1000)


@dataclass(frozen=True)
class Difference:
    """The largest differences between the answers to the same rows."""

    logits: float = 0.0
    """Relative where logits are above 1."""
    scores: float = 0.0
    """Of any label, after the activation; this is what a user sees."""
    labels: int = 0
    """How many answers have another best label."""

    def with_worse(self, other: "Difference") -> "Difference":
        """Return the larger differences of the two, and the sum of other labels."""
        return Difference(
            max(self.logits, other.logits), max(self.scores, other.scores), self.labels + other.labels
        )


@dataclass(frozen=True)
class Line:
    """What was found of one architecture: how rows may go together, and how far each way is from each row alone."""

    architecture: str
    verdict: str
    padded: Difference | None = None
    equal: Difference | None = None
    packed: Difference | None = None
    rounding: Difference | None = None
    """Of each row alone from the model in float64; None where the model's own code can't compute in it."""

    def ways(self) -> dict[str, Difference]:
        """Return the differences of the ways that are accepted, by name."""
        found = {"padded": self.padded, "equal lengths": self.equal, "packed": self.packed}
        return {name: difference for name, difference in found.items() if difference is not None}


def survey(architecture: str) -> Line:
    """Build, inspect and run one architecture in every way that is accepted for it."""
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
            checkpoint = inspect_checkpoint(settings)
        except NightscoreError as error:
            return Line(architecture, f"refused: {str(error).replace(folder, '')}")
        return Line(architecture, *compared(Path(folder), settings, checkpoint))


def compared(
    folder: Path, settings: Settings, checkpoint: Checkpoint
) -> tuple[str, Difference | None, Difference, Difference | None, Difference | None]:
    """Run a checkpoint in every way that is accepted for it, and compare with each row alone."""
    rows = rows_of(checkpoint)
    float32 = settings.model.model_copy(update={"precision": "float32"})
    model = loading.load_model(folder, float32, "float32")
    alone = [_alone(model, checkpoint, row) for row in rows]
    trial = _Trial(rows, alone, checkpoint.activation)
    engine = load_engine(folder, float32, checkpoint, computation_of(settings, checkpoint, "cpu"))
    equal = trial.worst(engine, _equal(rows))
    padded = trial.worst(engine, _mixed(rows)) if checkpoint.pads_safely else None
    rounding = _rounding(model, checkpoint, trial)
    packed = None
    if checkpoint.packs_safely:
        packed = trial.worst(PackedEngine(model, checkpoint.inputs, "cpu"), [*_mixed(rows), *_equal(rows)])
    ways = [
        name for name, is_so in (("packed", checkpoint.packs_safely), ("padded", checkpoint.pads_safely)) if is_so
    ]
    verdict = ", ".join([*ways, "equal lengths"]) + ", put back after each batch" * checkpoint.is_stateful
    lost = sum(not np.isfinite(logits).all() for logits in alone)
    verdict += f", {lost} of {len(alone)} answers not finite" * bool(lost)
    return verdict, padded, equal, packed, rounding


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


@dataclass(frozen=True)
class _Trial:
    rows: Sequence[Ids]
    alone: Sequence[Floats]
    activation: Activation

    def worst(self, engine: Engine, batches: Iterable[Sequence[int]]) -> Difference:
        worst = Difference()
        for batch in batches:
            rows = [self.rows[at] for at in batch]
            answers = engine.logits(rows, [np.zeros_like(row) for row in rows])
            for answer, at in zip(answers, batch, strict=True):
                worst = worst.with_worse(difference(answer, self.alone[at], self.activation))
        return worst


def _rounding(model: Any, checkpoint: Checkpoint, trial: _Trial) -> Difference | None:
    precise = copy.deepcopy(model).double()
    worst = Difference()
    try:
        for row, alone in zip(trial.rows, trial.alone, strict=True):
            worst = worst.with_worse(difference(alone, _alone(precise, checkpoint, row), trial.activation))
    except RuntimeError:  # code that makes float32 of something, and then wants its factors alike
        return None
    return worst


def difference(found: Floats, expected: Floats, activation: Activation) -> Difference:
    """Compare the logits of a row, shape [labels]; what is finite in one of the two alone is infinitely far off."""
    finite = np.isfinite(found).all(), np.isfinite(expected).all()
    if not all(finite):
        return Difference() if finite[0] == finite[1] else Difference(np.inf, np.inf, 1)
    scores = float(np.abs(_scores(found, activation) - _scores(expected, activation)).max())
    return Difference(largest_difference(found, expected), scores, int(found.argmax() != expected.argmax()))


def _scores(logits: Floats, activation: Activation) -> Any:
    """Return the scores in float64, so that what the activation itself rounds is not counted."""
    precise = logits.astype(np.float64)
    if activation == "softmax":
        raised = np.exp(precise - precise.max())
        return raised / raised.sum()
    return 1 / (1 + np.exp(-precise)) if activation == "sigmoid" else precise


_HEAD = (
    "| architecture | how its rows go together | padded | equal lengths | packed | alone, from float64 "
    "| other labels |\n| --- | --- | --- | --- | --- | --- | --- |"
)


def as_row(line: Line) -> str:
    """Return a line of the table in Markdown; differences are of logits / of scores."""
    cells = [
        "" if one is None else f"{one.logits:.1e} / {one.scores:.1e}"
        for one in (line.padded, line.equal, line.packed, line.rounding)
    ]
    others = str(sum(way.labels for way in line.ways().values())) if line.ways() else ""
    return f"| {' | '.join([line.architecture, line.verdict.replace('|', '/'), *cells, others])} |"


def summary(lines: Sequence[Line]) -> Iterator[str]:
    """Yield how many architectures there are of each verdict, and the worst differences of each way."""
    counts = Counter(line.verdict.split(":")[0] for line in lines)
    yield from (f"- {count}: {verdict}" for verdict, count in counts.most_common())
    for way in ("padded", "equal lengths", "packed"):
        found = [(line.ways()[way], line.architecture) for line in lines if way in line.ways()]
        for what in ("logits", "scores"):
            worst = sorted(((getattr(one, what), name) for one, name in found), reverse=True)[:5]
            told = ", ".join(f"{name} {value:.1e}" for value, name in worst)
            yield f"- {way}, worst of {len(found)} by {what}: {told}"
    others = {line.architecture: sum(way.labels for way in line.ways().values()) for line in lines}
    yield f"- other labels: {', '.join(f'{name} {count}' for name, count in others.items() if count) or 'none'}"


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=argparse.FileType("w"), default=sys.stdout, help="file to write")
    parser.add_argument("architectures", nargs="*", help="as in model_type; none: all of them")
    asked = parser.parse_args()
    for name in asked.architectures:
        if name not in EVERY:
            nearest = difflib.get_close_matches(name, EVERY, 1, 0)
            parser.error(f"{name!r} is not listed for sequence classification; nearest is {nearest[0]!r}")
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    _survey_all(asked.architectures or EVERY, asked.table)


def _survey_all(names: Sequence[str], to: TextIO) -> None:
    print(_HEAD, file=to, flush=True)
    lines = []
    for name in names:
        try:
            line = survey(name)
        except Exception as error:  # noqa: BLE001 - one that fails shall not hide the others
            line = Line(name, f"FAILED: {type(error).__name__}: {' '.join(str(error).split()):.150}")
        lines.append(line)
        print(as_row(line), file=to, flush=True)
    print("", *summary(lines), sep="\n", file=to, flush=True)


if __name__ == "__main__":
    _main()
