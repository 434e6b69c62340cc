"""Tiny checkpoints of many architectures, random but real, and the oracle that every test compares with."""

from tests.helpers.checkpoints.tiny_checkpoints.builder import build
from tests.helpers.checkpoints.tiny_checkpoints.oracle import (
    Answer,
    Cut,
    hidden_states,
    join,
    joined_logits,
    oracle,
    pooled,
    windows,
)
from tests.helpers.checkpoints.tiny_checkpoints.recipe import ARCHITECTURES, EXTRA_ARCHITECTURES, Recipe
from tests.helpers.checkpoints.tiny_checkpoints.sentencepiece_models import SENTENCEPIECE
from tests.helpers.checkpoints.tiny_checkpoints.texts import ADVERSARIAL_TEXTS

__all__ = [
    "ADVERSARIAL_TEXTS",
    "ARCHITECTURES",
    "EXTRA_ARCHITECTURES",
    "SENTENCEPIECE",
    "Answer",
    "Cut",
    "Recipe",
    "build",
    "hidden_states",
    "join",
    "joined_logits",
    "oracle",
    "pooled",
    "windows",
]
