"""The checkpoint: what inspection has decided about it (labels, activation, limit, ways to compute it)."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.checkpoints.activation import Activation, activation_for
from pipeline_lib.checkpoints.checkpoint_files import loaded_files, tokenizer_files
from pipeline_lib.checkpoints.checkpoint_json import read_config
from pipeline_lib.checkpoints.windows import WindowCut
from pipeline_lib.errors import CheckpointError
from pipeline_lib.settings.sections.model import ModelSettings
from pipeline_lib.settings.sections.output import Pooling

PROBE = "fine"
"""A text that every checkpoint is tried on before work starts."""

_NAME_TOKENIZER = ("model_type", "tokenizer_class", "architectures", "transformers_version")

IdsAndTypes = tuple[list[NDArray[np.int32]], list[NDArray[np.int32]]]
"""Token ids and token type ids of each row, each of shape [tokens of that row]."""


@dataclass(frozen=True)
class TokenizedTexts:
    """Texts as the checkpoint's tokenizer gives them to its model."""

    ids: tuple[tuple[int, ...], ...] = ()
    """Token ids of each text."""
    type_ids: tuple[tuple[int, ...], ...] = ()
    """Token type ids of each text; none where the tokenizer gives none."""

    @classmethod
    def of(cls, rows: Iterable[tuple[NDArray[np.int32], NDArray[np.int32]]]) -> "TokenizedTexts":
        """Make texts of pairs of token ids and token type ids."""
        pairs = [(tuple(ids.tolist()), tuple(type_ids.tolist())) for ids, type_ids in rows]
        return cls(tuple(ids for ids, _ in pairs), tuple(type_ids for _, type_ids in pairs))

    def __len__(self) -> int:
        return len(self.ids)

    def arrays(self) -> IdsAndTypes:
        """Return token ids and token type ids as an engine takes them."""
        return [np.array(row, np.int32) for row in self.ids], [np.array(row, np.int32) for row in self.type_ids]

    def take(self, numbers: Sequence[int]) -> "TokenizedTexts":
        """Return the texts of these numbers, in their order."""
        return TokenizedTexts(
            tuple(self.ids[number] for number in numbers), tuple(self.type_ids[number] for number in numbers)
        )


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was inspected and is usable; small, so that every worker can have it."""

    name: str
    """As in the settings; a local folder's absolute path, so that every worker finds it."""
    commit: str | None
    """Commit of a hub model, else None."""
    fingerprint: str
    """SHA-256 over the names and contents of the files that decide a score."""
    tokenizer: str
    """SHA-256 likewise of those that decide the ids of texts: equal for checkpoints with the same tokenizer."""
    architecture: str
    labels: tuple[str, ...]
    """Names by index. They may repeat."""
    activation: Activation
    max_tokens: int | None
    """Longest text in tokens, special tokens included; None where nothing limits it."""
    vocabulary: int
    """Rows of the model's token table: a larger id has no meaning."""
    inputs: tuple[str, ...]
    """What the tokenizer gives the model: input_ids, and often attention_mask and token_type_ids."""
    cpu_engine: str
    """The engine on CPUs: `torch` or `openvino`; on GPUs it is always PyTorch."""
    pads_safely: bool
    """Whether a padded row gets the answer that it gets alone."""
    packs_safely: bool
    """Whether rows laid end to end get the answers that they get alone; tried for half precision only."""
    is_stateful: bool
    """Whether the model changes while it computes, and is put back to what was loaded after each batch."""
    cls_pooling: bool
    """Whether the last layer computes each row's first token alone, since the head reads no other."""
    probe: tuple[int, ...]
    """Token ids of `PROBE`: when the model fails on them, the device is at fault."""
    long_probe: tuple[int, ...]
    """Token ids of a text as long as any that the checkpoint was tried on."""
    probes: TokenizedTexts
    """A short text and a long one that the model answers; OpenVINO traces the model with these."""
    embedding: Pooling = "none"
    """How the last hidden state is pooled to an embedding behind the logits of each row, if it is."""
    embedding_width: int = 0
    """Numbers in an embedding; 0 without one."""
    windows: WindowCut | None = None
    """How texts of more than `max_tokens` are cut into windows; None: they are truncated."""
    calibration: TokenizedTexts = TokenizedTexts()
    """The rows on which int8 is calibrated; none in other precisions."""


def fingerprint(folder: Path, settings: ModelSettings) -> str:
    """Return the SHA-256 over the names and contents of all files that are loaded, and so decide a score.

    Raises:
        CheckpointError: a file is missing, or is one that must not be loaded.
    """
    digest = hashlib.sha256()
    for path in loaded_files(folder, settings):
        digest.update(f"{path.name}\0{hash_of(path)}\n".encode())
    return digest.hexdigest()


def tokenizer_fingerprint(folder: Path, settings: ModelSettings) -> str:
    """Return the SHA-256 over what of a checkpoint decides the ids of texts.

    Raises:
        CheckpointError: a file is one that must not be loaded.
    """
    if settings.allow_remote_code:  # which may read any file
        return fingerprint(folder, settings)
    digest = hashlib.sha256()
    for path in tokenizer_files(folder, settings):
        digest.update(f"{path.name}\0{hash_of(path)}\n".encode())
    # From these transformers takes the class of a tokenizer whose own files do not name it.
    config = read_config(folder, settings)
    digest.update(json.dumps([config.get(name) for name in _NAME_TOKENIZER], sort_keys=True).encode())
    return digest.hexdigest()


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def labels_of(config: Any) -> tuple[str, ...]:
    """Return a model's label names by index.

    Raises:
        CheckpointError: id2label does not number its labels 0, 1, 2, ...
    """
    ids = sorted(config.id2label)
    if ids != list(range(len(ids))):
        raise CheckpointError(f"model.name: id2label must number its labels 0, 1, 2, ...; found {ids[:8]}")
    return tuple(str(config.id2label[index]) for index in ids)


def resolve_activation(settings: ModelSettings, problem_type: str | None, num_labels: int) -> Activation:
    """Return the activation the settings name, or the one the pipeline would choose for such a configuration."""
    return settings.activation if settings.activation != "auto" else activation_for(problem_type, num_labels)
