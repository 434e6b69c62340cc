"""The manifest: everything that is published, from the plan and the receipts of its slices."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pipeline_lib.errors import FaultError
from pipeline_lib.machine.library_versions import library_versions
from pipeline_lib.planning.plan import Plan
from pipeline_lib.publishing.night_statistics import NightStatistics
from pipeline_lib.scoring.precision_drift import merge_drifts
from pipeline_lib.storage.location import Files
from pipeline_lib.storage.records import (
    FileRecord,
    Manifest,
    Receipt,
    ShardRecord,
    StoredRows,
    Success,
    joined_files_of,
)

_S = TypeVar("_S", bound=StoredRows)


def manifest_of(plan: Plan, receipts: Sequence[Receipt], night: NightStatistics) -> Manifest:
    """Return the manifest of a version.

    Args:
        plan: the run's plan.
        receipts: of all its slices.
        night: what is counted of it.
    """
    scored: Counter[int] = Counter()
    for receipt in receipts:
        scored[receipt.shard] += receipt.scored
    schemas = sorted({shard.schema for shard in plan.shards})
    index_of = {schema: index for index, schema in enumerate(schemas)}
    shards = [
        ShardRecord(
            number=shard.number,
            path=shard.path,
            size=shard.stamp.size,
            content=shard.content,
            rows=shard.rows,
            scored=scored[shard.number],
            rejected=shard.rows - scored[shard.number],
            head=index_of[shard.schema],
            statistics=night.shards[shard.number].rows,
            truth=night.shards[shard.number].truth,
        )
        for shard in sorted(plan.shards, key=lambda shard: shard.number)
    ]
    return Manifest(
        version=plan.version,
        fingerprint=plan.fingerprint,
        model=model_of(plan),
        settings=plan.settings.model_dump(mode="json"),
        libraries=library_versions(),
        columns={field.name: str(field.type) for field in plan.scored_schema},
        rows=sum(shard.rows for shard in shards),
        scored=sum(shard.scored for shard in shards),
        rejected=sum(shard.rejected for shard in shards),
        drift=merge_drifts(receipt.drift for receipt in receipts),
        computed_by=dict(sorted(Counter(receipt.computed_by for receipt in receipts).items())),
        shards=shards,
        schemas=schemas,
        slices=list(receipts),
    )


def model_of(plan: Plan) -> dict[str, Any]:
    """Return what is told about the model of a plan, as JSON values."""
    checkpoint = plan.checkpoint
    return {
        "name": checkpoint.name,
        "commit": checkpoint.commit,
        "sha256": checkpoint.fingerprint,
        "architecture": checkpoint.architecture,
        "labels": list(checkpoint.labels),
        "activation": checkpoint.activation,
        "max_tokens": checkpoint.max_tokens,
        "precision": plan.settings.model.precision,
        **({"windows": {"stride": cut.stride, "join": cut.join}} if (cut := checkpoint.windows) else {}),
    }


def with_etags(manifest: Manifest, files: Files) -> Manifest:
    """Return the manifest with the ETags of the published files, where the store's are not plain MD5.

    Raises:
        FaultError: a published file is missing or has another size.
    """

    def with_etag(file: FileRecord) -> FileRecord:
        stamp = files.get(file.file)
        if stamp is None or stamp.size != file.bytes:
            raise FaultError(f"{file.file!r} was removed or changed while it was published; run again")
        return _with(file, stamp.tag if stamp.etag and stamp.tag != file.md5 else None)

    joined = joined_files_of(manifest.slices, manifest.files)

    def of_slice(receipt: Receipt) -> Receipt:
        # The files of a slice in a joined file are not there any more.
        in_joined = (receipt.shard, receipt.first_row) in joined
        return _with_files(receipt, (lambda file: _with(file, None)) if in_joined else with_etag)

    return manifest.model_copy(
        update={
            "slices": [of_slice(receipt) for receipt in manifest.slices],
            "files": [_with_files(file, with_etag) for file in manifest.files],
        }
    )


def _with(file: FileRecord, etag: str | None) -> FileRecord:
    return file if file.etag == etag else file.model_copy(update={"etag": etag})


def _with_files(stored: _S, change: Callable[[FileRecord], FileRecord]) -> _S:
    return stored.model_copy(
        update={"part": change(stored.part), "rejects": stored.rejects and change(stored.rejects)}
    )


def success_of(manifest: Manifest, content: bytes) -> Success:
    """Return the mark of completeness for a manifest and its bytes."""
    return Success(
        version=manifest.version,
        rows=manifest.rows,
        scored=manifest.scored,
        rejected=manifest.rejected,
        manifest_sha256=hashlib.sha256(content).hexdigest(),
    )
