"""What earlier attempts left in the output folder: what of it counts, and what must not be touched."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline_lib import leftovers, storage
from pipeline_lib import standing as files
from pipeline_lib.config import Settings
from pipeline_lib.differences import differences
from pipeline_lib.errors import OutputError, listed
from pipeline_lib.manifest import LEASE, STAGING, Manifest, Receipt
from pipeline_lib.shards import Shard


@dataclass(frozen=True)
class Found:
    """What stands in an output folder."""

    published: Manifest | None
    """What readers see, if it is of the wanted version."""
    replaced: str | None
    """The version that readers see, if it is another one and may be replaced."""
    receipts: tuple[Receipt, ...]
    """Of every slice that an attempt at this version finished, published or staged; not verified yet."""
    strangers: tuple[str, ...]
    """Files that readers see and that nobody can explain."""
    untidy: bool
    """Whether staged files of this version, or a lease, are left."""

    @property
    def numbers(self) -> dict[str, int]:
        """Numbers that shards were given already, by path."""
        return {receipt.path: receipt.shard for receipt in self.receipts}


def is_published(url: str) -> bool:
    """Tell whether readers see something in the output."""
    with storage.faults_named(url, "looking at the output"):
        return files.read_success(*storage.filesystem(url)) is not None


def find(settings: Settings, version: str, fingerprint: Mapping[str, Any], *, replace: bool) -> Found:
    """Look at the output folder.

    Args:
        settings: with dates filled in.
        version: the version that this run makes.
        fingerprint: what the version is the name of.
        replace: whether another version may be replaced.

    Raises:
        OutputError: another version is published, or the folder holds somebody else's data.
    """
    url = settings.output.path
    fs, folder = storage.filesystem(url)
    with storage.faults_named(url, "looking at the output"):
        success, manifest = files.read_success(fs, folder), files.read_manifest(fs, folder)
        if success and success.version != version and not replace:
            why = differences(manifest, settings, fingerprint) if manifest else ""
            raise OutputError(
                f"{url!r} holds version {success.version}, this would be {version}: "
                f"{why or 'the checkpoint or a setting differs'}; "
                "publish it instead with --replace, or choose another output.path"
            )
        strange = leftovers.strangers(fs, folder, manifest)
        if strange and manifest is None and not fs.exists(f"{folder}/{STAGING}"):
            raise OutputError(
                f"{url!r} already holds {listed(strange, 3)}, which this job did not write; "
                "choose a folder of its own"
            )
        ours = manifest if manifest and manifest.version == version else None
        receipts = [*(ours.slices if ours else ()), *files.staged_receipts(fs, folder, version)]
        untidy = fs.exists(f"{folder}/{LEASE}") or bool(storage.names_in(fs, f"{folder}/{STAGING}/{version}"))
        whole = success is not None and files.belongs(fs, folder, success)
    # Of two receipts of a slice the staged one is newer.
    newest = {(receipt.shard, receipt.first_row): receipt for receipt in receipts}
    return Found(
        published=ours if whole and success and success.version == version else None,
        replaced=success.version if success and success.version != version else None,
        receipts=tuple(newest.values()),
        strangers=tuple(strange),
        untidy=untidy,
    )


def standing(
    settings: Settings, shards: tuple[Shard, ...], receipts: tuple[Receipt, ...]
) -> tuple[tuple[Receipt, ...], tuple[str, ...]]:
    """Return the receipts whose slice is still wanted and whose files verify, and the files that don't."""
    wanted = {(shard.number, shard.path, shard.stamp.size, shard.content): shard for shard in shards}

    def is_wanted(receipt: Receipt) -> bool:
        shard = wanted.get((receipt.shard, receipt.path, receipt.size, receipt.content))
        return shard is not None and shard.has(receipt.first_row, receipt.rows)

    candidates = [receipt for receipt in receipts if is_wanted(receipt)]
    fs, folder = storage.filesystem(settings.output.path)
    with storage.faults_named(settings.output.path, "verifying earlier work"):
        checked = list(files.check_all(fs, folder, candidates))
    whole = tuple(receipt for receipt, broken in checked if not broken)
    return whole, tuple(name for _, broken in checked for name in broken)


def refuse_lost_shards(published: Manifest | None, shards: tuple[Shard, ...]) -> None:
    """Refuse to publish without shards whose rows are published.

    Raises:
        OutputError: a published shard is no longer among the input.
    """
    lost = {record.path for record in published.shards} - {s.path for s in shards} if published else set()
    if lost:
        raise OutputError(
            f"the output holds rows of {listed(sorted(lost), 3)}, which the input no longer has; "
            "bring them back, publish without them with --replace, or choose another output.path"
        )
