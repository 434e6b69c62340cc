"""Whether a text's answer depends on the texts beside it, or on those before it: tried on texts of many lengths."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_lib.engines.engine import Engine, are_close, largest_difference
from pipeline_lib.engines.inspection.probe_answers import (
    PADDING_TOLERANCE,
    AnsweredTexts,
    ProbeAnswers,
    is_same_answer,
    single,
)
from pipeline_lib.engines.torch_engine import TorchEngine
from pipeline_lib.errors import CheckpointError

# Models of billions of weights round more; what is further off than this is another answer.
_REFUSED_TOLERANCE = 1e-3


@dataclass(frozen=True)
class RowIndependence:
    """How texts may go through a model together, so that each gets the answer that it gets alone."""

    pads_safely: bool
    """Whether padded rows do; if not, rows of one length do."""
    is_stateful: bool
    """Whether the model must be put back to what was loaded after each batch."""
    batches: tuple[AnsweredTexts, ...]
    """Some of what was tried, short texts first: what any other way to compute must answer too."""


def check_row_independence(model: Any, inputs: Sequence[str], answers: ProbeAnswers) -> RowIndependence:
    """Try a model on short texts beside long ones, in both orders, and after them.

    Args:
        model: in float32, on the CPU.
        inputs: the inputs that the checkpoint's tokenizer gives its model.
        answers: the model's answers to each text alone.

    Raises:
        CheckpointError: an answer depends on more than its text.
    """
    is_stateful = answers.is_stateful()
    engine = TorchEngine(model, inputs, "cpu", is_stateful=is_stateful)
    may_pad = "attention_mask" in inputs and not answers.untried
    padded = [
        _answered_together(engine, batch, answers.width) for batch in (answers.mixed_batches() if may_pad else ())
    ]
    right = [batch for batch in padded if batch is not None]
    pads_safely = may_pad and len(right) == len(padded)
    if not pads_safely:
        _check_again(engine, answers)  # first, so that answers that depend on chance are reported as that
        _check_equal_lengths(engine, answers)
    _check_again(engine, answers, texts=1 if pads_safely else 2)
    return RowIndependence(pads_safely, is_stateful, tuple(right[:2]) if pads_safely else answers.singles())


def _answered_together(engine: Engine, batch: AnsweredTexts, width: int) -> AnsweredTexts | None:
    """Return texts with the logits that they get together; None if those are not what each gets alone."""
    try:
        logits = engine.logits(*batch.texts.arrays())
    except (RuntimeError, ValueError, IndexError):
        return None  # a model that refuses a padded batch is run on batches of one length
    return batch._replace(logits=logits) if are_close(logits, batch.logits, PADDING_TOLERANCE, width) else None


def _check_equal_lengths(engine: Engine, answers: ProbeAnswers) -> None:
    """Compare texts beside others of their length with each alone."""
    for number, (row, alone) in enumerate(zip(answers.rows[:3], answers.logits, strict=False)):
        other = answers.of_same_length(number)
        if len(other[0]) != len(row[0]):
            continue
        try:
            logits = engine.logits([row[0], other[0]], [row[1], other[1]])[0]
        except (RuntimeError, ValueError, IndexError):
            continue  # the model wants its rows alike in yet another way; batches that fail are halved
        if not is_same_answer(logits, alone, _REFUSED_TOLERANCE, answers.width):
            off = largest_difference(logits, alone, answers.width)
            raise CheckpointError(
                f"model.name: the model's answer to a text of {len(row[0])} tokens depends on another text of "
                f"the same length beside it: its logits are {off:.1g} off"
            )


def _check_again(engine: Engine, answers: ProbeAnswers, texts: int = 2) -> None:
    """Compare the answers to the short text and the longest one, after all others, with the first ones."""
    for row, alone in list(zip(answers.rows, answers.logits, strict=True))[:texts]:
        logits = engine.logits(*single(row))[0]
        if not is_same_answer(logits, alone, _REFUSED_TOLERANCE, answers.width):
            off = largest_difference(logits, alone, answers.width)
            raise CheckpointError(
                f"model.name: the model answers a text of {len(row[0])} tokens differently when it "
                f"comes again: its logits are {off:.1g} off; they depend on chance "
                "or on the texts before it"
            )
