"""Publish: recount, pass the gates, move the parts into place, and set the mark of completeness last."""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from pipeline_lib import leftovers, numbering, standing, storage
from pipeline_lib.crash_points import reached
from pipeline_lib.drift import merged
from pipeline_lib.errors import BusyError, FaultError, GateError
from pipeline_lib.lease import leased
from pipeline_lib.libraries import library_versions
from pipeline_lib.manifest import MANIFEST, REJECTS, STAGING, SUCCESS, Manifest, Receipt, ShardRecord, Success
from pipeline_lib.plan import Plan
from pipeline_lib.threads import in_threads
from pipeline_lib.words import count


def publish(plan: Plan, receipts: Sequence[Receipt], confirm: Callable[[], None]) -> Manifest:
    """Make the slices' files the published version and return its manifest.

    Readers that wait for `_SUCCESS`, and look at it again when they have read, see all of it or none of it.

    Args:
        plan: the run's plan.
        receipts: of every slice of the plan, in any order.
        confirm: raises if this run may no longer touch what readers see.

    Raises:
        GateError: a gate of the settings failed; everything stays staged, and what stood stays.
        FaultError: the files don't add up to the input, a shard changed, or the storage failed.
        BusyError: another run holds the output now.
    """
    fs, folder = storage.filesystem(plan.settings.output.path)
    ordered = sorted(receipts, key=lambda receipt: (receipt.shard, receipt.first_row))
    with storage.faults_named(plan.settings.output.path, "publishing"):
        places = _places(fs, folder, ordered)
        _recount(fs, plan, ordered, places)
        _refuse_changed(plan)
        manifest = _manifest(plan, ordered)
        check_gates(plan, manifest)
        reached("publisher.before_take_down")
        confirm()
        _take_down(fs, folder)
        reached("publisher.after_take_down")
        leftovers.set_aside(fs, folder, plan.broken, folder)
        _move(fs, folder, places)
        reached("publisher.after_moving")
        leftovers.sweep(fs, folder, manifest)
        reached("publisher.after_sweep")
        confirm()
        content = manifest.to_bytes()
        storage.write_atomically(fs, f"{folder}/{MANIFEST}", content)
        reached("publisher.after_manifest")
        storage.write_atomically(fs, f"{folder}/{SUCCESS}", _success(manifest, content).to_bytes())
        reached("publisher.after_success")
        leftovers.remove_staging(fs, folder)
        reached("publisher.after_cleaning")
    return manifest


def clear(plan: Plan) -> None:
    """Make ready for work: clean what dead runs left half written, set aside what stands and does not verify.

    The shards' numbers are kept before the first slice is scored, so that a killed run leaves them to the next.
    """
    fs, folder = storage.filesystem(plan.settings.output.path)
    with storage.faults_named(plan.settings.output.path, "clearing what dead runs left"):
        leftovers.clear(fs, folder, plan.version, plan.broken)
    numbering.keep(plan.settings.output.path, plan.version, plan.shards)


def tidy(plan: Plan) -> None:
    """Clean what a run left that ended between publishing and cleaning, unless another run is at work."""
    if not plan.untidy:
        return
    url = plan.settings.output.path
    fs, folder = storage.filesystem(url)
    with contextlib.suppress(BusyError), leased(url), storage.faults_named(url, "cleaning"):
        leftovers.remove_staging(fs, folder, plan.version)


def check_rows(plan: Plan) -> None:
    """Refuse, before any work, an input that is too small to be a night's.

    Raises:
        GateError: it has fewer rows than `limits.min_rows`.
    """
    least = plan.settings.limits.min_rows
    if plan.rows < least:
        raise GateError(
            f"the input has {count(plan.rows, 'row')}, limits.min_rows is {least:,}; nothing is published"
        )


def check_gates(plan: Plan, manifest: Manifest) -> None:
    """Refuse a result that the settings' limits don't allow.

    Raises:
        GateError: too few rows, too many rejects, or scores in half precision too far from float32.
    """
    check_rows(plan)
    limits = plan.settings.limits
    rate = manifest.rejected / max(manifest.rows, 1)
    if rate > limits.max_reject_rate:
        staging = f"{plan.settings.output.path.rstrip('/')}/{STAGING}/{plan.version}"
        raise GateError(
            f"{manifest.rejected:,} of {manifest.rows:,} rows were rejected ({rate:.3%}), limits.max_reject_rate "
            f"is {limits.max_reject_rate:.3%}; nothing is published, the reasons are in '{staging}/_rejects'"
        )
    drift = manifest.drift
    if drift and limits.max_precision_drift is not None and drift.largest > limits.max_precision_drift:
        raise GateError(
            f"scores in {plan.settings.model.precision} are up to {drift.largest:.4f} from float32 in a sample of "
            f"{count(drift.rows, 'row')} ({count(drift.flips, 'other label')}), limits.max_precision_drift is "
            f"{limits.max_precision_drift:g}; nothing is published"
        )


def _places(fs: Any, folder: str, receipts: Sequence[Receipt]) -> dict[str, str]:
    """Return where each file of the receipts is now: staged, or already moved by an earlier attempt."""

    def place(file: tuple[str, str]) -> str:
        version, name = file
        staged = f"{folder}/{STAGING}/{version}/{name}"
        return staged if fs.exists(staged) else f"{folder}/{name}"

    files = [(receipt.version, file.file) for receipt in receipts for file in receipt.files]
    return {name: path for (_, name), path in zip(files, in_threads(place, files), strict=True)}


def _recount(fs: Any, plan: Plan, receipts: Sequence[Receipt], places: dict[str, str]) -> None:
    """Check rows in == scored + rejected for every shard, counting in the files and not in our own sums."""
    counted: Counter[int] = Counter()
    files = [(receipt.shard, file) for receipt in receipts for file in receipt.files]
    found = in_threads(lambda file: standing.count_rows(fs, places[file[1].file]), files)
    for (number, file), rows in zip(files, found, strict=True):
        if rows is None or rows != file.rows:
            raise FaultError(f"{places[file.file]!r} has {rows} rows, expected {file.rows}; run again")
        counted[number] += rows
    for shard in plan.shards:
        if counted[shard.number] != shard.rows:
            raise FaultError(
                f"{shard.path!r}: {shard.rows:,} rows in, {counted[shard.number]:,} scored or rejected; "
                "nothing is published"
            )


def _refuse_changed(plan: Plan) -> None:
    """Check that every shard still is what was scored: a slice may have been read before its shard changed."""
    list(in_threads(lambda shard: storage.refuse_changed(shard.path, shard.stamp), plan.shards))


def _move(fs: Any, folder: str, places: dict[str, str]) -> None:
    def move(file: str) -> None:
        if places[file] != f"{folder}/{file}":
            storage.move(fs, places[file], f"{folder}/{file}")
            reached("publisher.while_moving")

    list(in_threads(move, places))
    storage.keep_renames(fs, folder, f"{folder}/{REJECTS}")


def _manifest(plan: Plan, receipts: Sequence[Receipt]) -> Manifest:
    scored: Counter[int] = Counter()
    for receipt in receipts:
        scored[receipt.shard] += receipt.scored
    shards = [
        ShardRecord(
            number=shard.number,
            path=shard.path,
            size=shard.stamp.size,
            content=shard.content,
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
        drift=merged(receipt.drift for receipt in receipts),
        computed_by=dict(sorted(Counter(receipt.computed_by for receipt in receipts).items())),
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
