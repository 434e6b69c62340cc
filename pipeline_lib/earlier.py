"""What earlier attempts left in the output folder: what of it counts, and what must not be touched."""

from pipeline_lib import standing as files
from pipeline_lib import storage
from pipeline_lib.config import Settings
from pipeline_lib.errors import OutputError, listed
from pipeline_lib.manifest import STAGING, Manifest, Receipt
from pipeline_lib.shards import Shard


def published(settings: Settings, version: str) -> Manifest | None:
    """Return what is published, if it is of this version.

    Raises:
        OutputError: another version is published, or the folder holds data that no manifest names.
    """
    fs, folder = storage.filesystem(settings.output.path)
    with storage.faults_named(settings.output.path, "looking at the output"):
        success = files.read_success(fs, folder)
        manifest = files.read_manifest(fs, folder)
        if success and success.version != version:
            raise OutputError(
                f"{settings.output.path!r} holds version {success.version}, this would be {version}: the "
                "checkpoint or a setting differs; choose another output.path or remove what is there"
            )
        if manifest is None and not fs.exists(f"{folder}/{STAGING}") and fs.exists(folder):
            strangers = [str(name).rsplit("/", 1)[-1] for name in fs.ls(folder, detail=False)]
            strangers = [name for name in strangers if not name.startswith(("_", "."))]
            if strangers:
                raise OutputError(
                    f"{settings.output.path!r} already holds {listed(sorted(strangers), 3)}, which this job did "
                    "not write; choose a folder of its own"
                )
    return manifest if success and manifest and manifest.version == version else None


def receipts(settings: Settings, version: str) -> tuple[dict[str, int], list[Receipt]]:
    """Return the shard numbers already given, and the receipts of earlier attempts at this version."""
    fs, folder = storage.filesystem(settings.output.path)
    with storage.faults_named(settings.output.path, "looking for earlier work"):
        manifest = files.read_manifest(fs, folder)
        found = list(manifest.slices) if manifest and manifest.version == version else []
        found += files.staged_receipts(fs, folder, version)
    newest = {(receipt.shard, receipt.first_row): receipt for receipt in found}
    return {receipt.path: receipt.shard for receipt in found}, list(newest.values())


def standing(
    settings: Settings, shards: tuple[Shard, ...], receipts: list[Receipt]
) -> tuple[tuple[Receipt, ...], tuple[str, ...]]:
    """Return the receipts whose slice is still wanted and whose files verify, and the files that don't."""
    wanted = {
        (shard.number, shard.path, shard.stamp.size, shard.stamp.tag, part.first_row, part.rows)
        for shard in shards
        for part in shard.slices
    }
    candidates = [r for r in receipts if (r.shard, r.path, r.size, r.tag, r.first_row, r.rows) in wanted]
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
            "bring them back or choose another output.path"
        )
