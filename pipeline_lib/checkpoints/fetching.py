"""Find a checkpoint's files on this machine; what comes from a hub or a URL is fetched once per machine."""

import hashlib
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock

from pipeline_lib.checkpoints.checkpoint_files import fetch_patterns, is_fetched
from pipeline_lib.errors import CheckpointError, did_you_mean, listed
from pipeline_lib.machine.cache_folders import cache_folder
from pipeline_lib.settings.sections.model import ModelSettings
from pipeline_lib.storage.location import stamp_of
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of


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


def _fetch_hub(settings: ModelSettings, commit: str | None) -> tuple[Path, str | None]:
    from huggingface_hub import errors, snapshot_download

    name = settings.name
    chosen, unwanted = fetch_patterns(settings)
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
        file_names = listed(name.rsplit("/", 1)[-1] for name, _ in stamps)
        raise CheckpointError(f"model.name: {settings.name!r} holds no config.json (found {file_names})")
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
