"""A published output as it is compared: its manifest, and whether readers still see the same one."""

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline_lib.errors import FaultError, OutputError
from pipeline_lib.inputs import columns
from pipeline_lib.storage import integrity
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.records import MANIFEST, STAGING, SUCCESS, Manifest, StoredRows, parse
from pipeline_lib.storage.store_errors import translated_errors, with_retries
from pipeline_lib.storage.urls import location_of


@dataclass(frozen=True)
class Published:
    """One version that readers see."""

    url: str
    folder: Location
    manifest: Manifest
    manifest_sha256: str

    @cached_property
    def files(self) -> dict[int, list[StoredRows]]:
        """The files of each shard by its number, in the order of their rows."""
        found: dict[int, list[StoredRows]] = defaultdict(list)
        for stored in self.manifest.published:
            found[stored.shard].append(stored)
        return dict(found)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the model, in the order of the column `scores`."""
        return tuple(self.manifest.model.get("labels", ()))

    @property
    def added_columns(self) -> dict[str, str]:
        """The names in its files of the columns that the job added, by their names without the prefix."""
        return columns.added_columns(self.manifest.columns, columns.recorded_prefix(self.manifest.settings))

    @property
    def activation(self) -> str:
        """What made the scores: `softmax`, `sigmoid` or `none`."""
        return str(self.manifest.model.get("activation", ""))

    def check_unchanged(self) -> None:
        """Check that readers still see this version.

        Raises:
            FaultError: another one was published meanwhile.
        """
        with translated_errors(self.url, "looking at the output again"):
            success = integrity.read_success(self.folder)
        if success is None or success.manifest_sha256 != self.manifest_sha256:
            raise FaultError(f"{self.url!r} was published anew while it was read; run the same command again")

    def to_json(self) -> dict[str, Any]:
        """Return what tells this output from the other one, as JSON values."""
        names = ("name", "commit", "precision", "labels", "activation")
        model = {name: self.manifest.model.get(name) for name in names}
        counts = {name: getattr(self.manifest, name) for name in ("rows", "scored", "rejected")}
        return {"path": self.url, "version": self.manifest.version, "model": model, **counts}


def read_published(url: str) -> Published:
    """Return what is published in a folder.

    Raises:
        OutputError: nothing is, or its manifest is not the one that `_SUCCESS` was written for.
        InputError: the bucket does not exist, or access to it is denied.
        FaultError: the storage failed.
    """
    folder = location_of(url)

    def read() -> tuple[Any, bytes | None, list[str]]:
        with translated_errors(url, "looking at the output"):
            success = integrity.read_success(folder)
            return success, (folder / MANIFEST).read(), [] if success else folder.names()

    success, content, names = with_retries(read)
    if success is None:
        raise OutputError(f"{url!r} is not a published output: no readable {SUCCESS}{_instead(names)}")
    manifest = parse(Manifest, content)
    if manifest is None:
        raise OutputError(f"{url!r} is not a published output: no readable {MANIFEST}")
    if hashlib.sha256(content or b"").hexdigest() != success.manifest_sha256:
        raise OutputError(
            f"{url!r}: {MANIFEST} is not the manifest that {SUCCESS} was written for; wait if a run is publishing, "
            "else run the job again"
        )
    return Published(url, folder, manifest, success.manifest_sha256)


def _instead(names: list[str]) -> str:
    if not names:
        return ", and the folder is empty or missing"
    return "; something is staged there, which only a run can publish" if STAGING in names else ""
