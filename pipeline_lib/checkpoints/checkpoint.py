"""The checkpoint: where it lies, what it promises (labels, activation, limit), and whether it can be trusted."""

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline_lib.checkpoints.activation import Activation, activation_for
from pipeline_lib.checkpoints.checkpoint_files import fetched, is_fetched, loaded_files
from pipeline_lib.errors import CheckpointError, did_you_mean, listed
from pipeline_lib.machine.cache_folders import cache_folder
from pipeline_lib.settings.settings import ModelSettings
from pipeline_lib.storage.location import stamp_of
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of

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


def locate(settings: ModelSettings, commit: str | None = None) -> tuple[Path, str | None]:
    """Return a local folder with the checkpoint's files, and its commit if it comes from a hub.

    Hub models and URLs are fetched once per machine, into the Hugging Face cache or our own.

    Raises:
        CheckpointError: there is no such checkpoint, or it can't be reached.
    """
    if "://" in settings.name:
        return _fetch_url(settings), None
    folder = local_folder(settings)
    return (folder, None) if folder else _fetch_hub(settings, commit)


def local_folder(settings: ModelSettings) -> Path | None:
    """Return the folder that the settings name, or None where they name a URL or a model of a hub.

    Raises:
        CheckpointError: it is the name of a folder that is not there.
    """
    if "://" in settings.name:
        return None
    folder = Path(settings.name).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if settings.name.startswith((".", "/", "~")) or settings.name.count("/") > 1:
        raise CheckpointError(f"model.name: no folder {settings.name!r}{_near_folders(settings.name)}")
    return None


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


def _fetch_hub(settings: ModelSettings, commit: str | None) -> tuple[Path, str | None]:
    from huggingface_hub import errors, snapshot_download

    name = settings.name
    chosen, unwanted = fetched(settings)
    try:
        folder = Path(
            snapshot_download(
                name,
                revision=commit or settings.revision,
                allow_patterns=list(chosen),
                ignore_patterns=list(unwanted),
            )
        )
    except errors.HFValidationError:
        raise CheckpointError(
            f"model.name: {name!r} is neither a folder nor a hub id such as 'org/model'"
        ) from None
    except errors.GatedRepoError:
        raise CheckpointError(f"model.name: {name!r} is gated; accept its terms and set HF_TOKEN") from None
    except errors.RevisionNotFoundError:
        raise CheckpointError(f"model.revision: {name!r} has no revision {settings.revision!r}") from None
    except errors.RepositoryNotFoundError:
        raise CheckpointError(f"model.name: the hub has no model {name!r}, or HF_TOKEN may not see it") from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, OSError) as error:
        why = type(error).__name__
        raise CheckpointError(
            f"model.name: {name!r} is no folder here{_near_folders(name)}, is not in the cache, and the hub can't "
            f"be reached ({why})"
        ) from None
    return folder, folder.name if folder.parent.name == "snapshots" else commit


def _near_folders(name: str) -> str:
    parent = Path(name).expanduser().parent
    near = [str(path) for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
    return did_you_mean(name.removeprefix("./"), near)


def _fetch_url(settings: ModelSettings) -> Path:
    source = location_of(settings.name)
    with translated_errors(settings.name, "listing the checkpoint"):
        entries = [entry for entry in source.fs.ls(source.path, detail=True) if entry["type"] == "file"]
        stamps = sorted((entry["name"], str(stamp_of(entry))) for entry in entries)
    if not any(name.endswith("/config.json") for name, _ in stamps):
        found = listed(name.rsplit("/", 1)[-1] for name, _ in stamps)
        raise CheckpointError(f"model.name: {settings.name!r} holds no config.json (found {found})")
    wanted = [(name, stamp) for name, stamp in stamps if is_fetched(Path(name).name, settings)]
    key = hashlib.sha256(repr((settings.name, wanted)).encode()).hexdigest()[:24]
    try:
        cache = cache_folder("checkpoints")
    except OSError as error:
        raise CheckpointError(
            f"model.name: no place to fetch {settings.name!r} to: {error}; name one in XDG_CACHE_HOME"
        ) from None
    folder = cache / key
    # Several actors of one machine start together; one fetches, the others wait for it.
    with FileLock(cache / f"{key}.lock"):
        if not folder.is_dir():
            fetching = Path(tempfile.mkdtemp(dir=cache))
            try:
                with translated_errors(settings.name, "fetching the checkpoint"):
                    for name, _ in wanted:
                        source.fs.get_file(name, str(fetching / Path(name).name))
                fetching.rename(folder)
            finally:
                shutil.rmtree(fetching, ignore_errors=True)
    return folder
