"""Publish: recount, pass the gates, move the parts into place, and set the mark of completeness last."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pipeline_lib import standing, storage
from pipeline_lib.errors import FaultError, GateError
from pipeline_lib.manifest import MANIFEST, STAGING, SUCCESS, Manifest, Receipt, ShardRecord, Success
from pipeline_lib.plan import Plan
from pipeline_lib.version import library_versions


def publish(plan: Plan, receipts: Sequence[Receipt]) -> Manifest:
    """Make the slices' files the published version and return its manifest.

    Readers that wait for `_SUCCESS` see all of it or none of it.

    Args:
        plan: the run's plan.
        receipts: of every slice of the plan, in any order.

    Raises:
        GateError: too many rows were rejected; everything stays staged.
        FaultError: the files don't add up to the input, or the storage failed.
    """
    fs, folder = storage.filesystem(plan.settings.output.path)
    ordered = sorted(receipts, key=lambda receipt: (receipt.shard, receipt.first_row))
    with storage.faults_named(plan.settings.output.path, "publishing"):
        places = _places(fs, folder, ordered)
        _recount(fs, plan, ordered, places)
        manifest = _manifest(plan, ordered)
        _gate(plan, manifest)
        _take_down(fs, folder)
        for file, path in places.items():
            if path != f"{folder}/{file}":
                storage.move(fs, path, f"{folder}/{file}")
        _remove_stale(fs, folder, plan, manifest)
        content = manifest.to_bytes()
        storage.write_atomically(fs, f"{folder}/{MANIFEST}", content)
        storage.write_atomically(fs, f"{folder}/{SUCCESS}", _success(manifest, content).to_bytes())
        _clean_up(fs, folder)
    return manifest


def _places(fs: Any, folder: str, receipts: Sequence[Receipt]) -> dict[str, str]:
    """Return where each file of the receipts is now: staged, or already moved by an earlier attempt."""
    places = {}
    for receipt in receipts:
        staging = f"{folder}/{STAGING}/{receipt.version}"
        for file in receipt.files:
            staged = f"{staging}/{file.file}"
            places[file.file] = staged if fs.exists(staged) else f"{folder}/{file.file}"
    return places


def _recount(fs: Any, plan: Plan, receipts: Sequence[Receipt], places: dict[str, str]) -> None:
    """Check rows in == scored + rejected for every shard, counting in the files and not in our own sums."""
    counted: Counter[int] = Counter()
    for receipt in receipts:
        for file in receipt.files:
            rows = standing.count_rows(fs, places[file.file])
            if rows != file.rows:
                raise FaultError(f"{places[file.file]!r} has {rows} rows, expected {file.rows}; run again")
            counted[receipt.shard] += rows
    for shard in plan.shards:
        if counted[shard.number] != shard.rows:
            raise FaultError(
                f"{shard.path!r}: {shard.rows:,} rows in, {counted[shard.number]:,} scored or rejected; "
                "nothing is published"
            )


def _gate(plan: Plan, manifest: Manifest) -> None:
    limit = plan.settings.limits.max_reject_rate
    rate = manifest.rejected / max(manifest.rows, 1)
    if rate > limit:
        staging = f"{plan.settings.output.path.rstrip('/')}/{STAGING}/{plan.version}"
        raise GateError(
            f"{manifest.rejected:,} of {manifest.rows:,} rows were rejected ({rate:.3%}), "
            f"limits.max_reject_rate is {limit:.3%}; nothing is published, the reasons are in '{staging}/_rejects'"
        )


def _manifest(plan: Plan, receipts: Sequence[Receipt]) -> Manifest:
    scored: Counter[int] = Counter()
    for receipt in receipts:
        scored[receipt.shard] += receipt.scored
    shards = [
        ShardRecord(
            number=shard.number,
            path=shard.path,
            size=shard.stamp.size,
            tag=shard.stamp.tag,
            rows=shard.rows,
            scored=scored[shard.number],
            rejected=shard.rows - scored[shard.number],
        )
        for shard in sorted(plan.shards, key=lambda shard: shard.number)
    ]
    checkpoint = plan.checkpoint
    return Manifest(
        version=plan.version,
        fingerprint=plan.fingerprint,
        model={
            "name": checkpoint.name,
            "commit": checkpoint.commit,
            "sha256": checkpoint.fingerprint,
            "architecture": checkpoint.architecture,
            "labels": list(checkpoint.labels),
            "activation": checkpoint.activation,
            "max_tokens": checkpoint.max_tokens,
            "precision": plan.settings.model.precision,
        },
        settings=plan.settings.model_dump(mode="json"),
        libraries=library_versions(),
        columns={field.name: str(field.type) for field in plan.layout.scored_schema(plan.settings.output)},
        rows=sum(shard.rows for shard in shards),
        scored=sum(shard.scored for shard in shards),
        rejected=sum(shard.rejected for shard in shards),
        shards=shards,
        slices=list(receipts),
    )


def _success(manifest: Manifest, content: bytes) -> Success:
    return Success(
        version=manifest.version,
        rows=manifest.rows,
        scored=manifest.scored,
        rejected=manifest.rejected,
        manifest_sha256=hashlib.sha256(content).hexdigest(),
    )


def _take_down(fs: Any, folder: str) -> None:
    """Tell readers to wait while parts are added to what stands."""
    if fs.exists(f"{folder}/{SUCCESS}"):
        fs.rm_file(f"{folder}/{SUCCESS}")


def _remove_stale(fs: Any, folder: str, plan: Plan, manifest: Manifest) -> None:
    """Remove parts of shards that were redone in another shape; only files that our manifest named."""
    if plan.published is None:
        return
    kept = {file.file for receipt in manifest.slices for file in receipt.files}
    for receipt in plan.published.slices:
        for file in receipt.files:
            if file.file not in kept and fs.exists(f"{folder}/{file.file}"):
                fs.rm_file(f"{folder}/{file.file}")


def _clean_up(fs: Any, folder: str) -> None:
    """Remove the staging folder; all of it is published or of a version that no longer is."""
    if fs.exists(f"{folder}/{STAGING}"):
        fs.rm(f"{folder}/{STAGING}", recursive=True)
