"""Prometheus's text format as a file: read with care, and replaced as a whole."""

import contextlib
import os
import tempfile
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from pipeline_lib.errors import SettingsError


def read_samples(path: Path, prefix: str) -> list[Sample]:
    """Return the samples of an earlier file; none where there is no file yet.

    Args:
        path: of the file.
        prefix: begins the names of all metrics in it.

    Raises:
        SettingsError: the folder is not there, the file can't be read, or it has something else.
    """
    try:
        samples = _samples_in(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise wrong(path, f"there is no folder {str(path.parent)!r}") from None
        return []
    except IsADirectoryError:
        raise wrong(path, "it is a folder; expected a file, such as nightscore.prom") from None
    except OSError as error:
        raise wrong(path, f"it can't be read: {error.strerror or error}") from None
    except ValueError:  # also for bytes that are no text
        samples = None
    if samples is None or any(not sample.name.startswith(prefix) for sample in samples):
        raise wrong(path, "the file has something else than Nightscore's metrics; name another, or delete it")
    return samples


def _samples_in(text: str) -> list[Sample] | None:
    """Return the samples of a text; None if it has something, but no samples."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return None if text.strip() and not samples else samples


def write_metrics(path: Path, registry: CollectorRegistry) -> None:
    """Write a file as a whole or not at all, readable for all: node_exporter runs as another user.

    Raises:
        SettingsError: the file can't be written.
    """
    try:
        _replace(path, generate_latest(registry))
    except OSError as error:
        raise wrong(path, f"it can't be written: {error.strerror or error}") from None


def _replace(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def wrong(path: Path, why: str) -> SettingsError:
    """Return the error about a file of metrics."""
    return SettingsError(f"--metrics-file {str(path)!r}: {why}")
