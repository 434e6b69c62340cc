"""The checkpoint: where it lies, what it promises (labels, activation, limit), and whether it can be trusted."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline_lib.checkpoints.activation import Activation, activation_for
from pipeline_lib.checkpoints.checkpoint_files import loaded_files
from pipeline_lib.errors import CheckpointError
from pipeline_lib.settings.settings import ModelSettings
from pipeline_lib.storage.files import chunks

PROBE = "fine"
"""A text that every checkpoint is tried on before work starts."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was looked at and found usable; small, so that every worker can have it."""

    name: str
    """As in the settings; a local folder's absolute path, so that every worker finds it."""
    commit: str | None
    """Commit of a hub model, else None."""
    fingerprint: str
    """SHA-256 over the names and contents of the files that decide a score."""
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
    engine: str
    """What computes on CPUs: `torch` or `openvino`; on GPUs it is always PyTorch."""
    pads_safely: bool
    """Whether a padded row gets the answer it gets alone."""
    keeps_state: bool
    """Whether the model changes while it computes, and is put back to what was loaded after each batch."""
    packs_safely: bool
    """Whether rows laid end to end get the answers they get alone; asked in half precision only."""
    first_token_alone: bool
    """Whether the last layer can do with each row's first token, since the head looks at no other."""
    probe: tuple[int, ...]
    """Token ids of the probe: when the model no longer answers them, the device is at fault."""
    long_probe: tuple[int, ...]
    """Token ids of a text as long as any that the checkpoint was tried on."""
    probes: tuple[tuple[int, ...], ...]
    """Token ids of all probes that the model answers; what must run it to know it is given these."""
    probe_types: tuple[tuple[int, ...], ...]
    """Their token type ids; empty where the tokenizer gives none."""


def fingerprint(folder: Path, settings: ModelSettings) -> str:
    """Return the SHA-256 over the names and contents of all files that are loaded, and so decide a score.

    Raises:
        CheckpointError: a file is missing, or is one that must not be loaded.
    """
    digest = hashlib.sha256()
    for path in loaded_files(folder, settings):
        digest.update(f"{path.name}\0{hash_of(path)}\n".encode())
    return digest.hexdigest()


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for piece in chunks(file):
            digest.update(piece)
    return digest.hexdigest()


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
