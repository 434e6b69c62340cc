"""Publish: recount, pass the gates, move the parts into place, and set the mark of completeness last."""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from pipeline_lib.errors import BusyError, FaultError, GateError
from pipeline_lib.machine.failpoints import reached
from pipeline_lib.machine.library_versions import library_versions
from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.messages import count
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.resume import shard_numbers
from pipeline_lib.scoring.precision_drift import merge_drifts
from pipeline_lib.storage import cleanup, file_tree, integrity
from pipeline_lib.storage import files as storage
from pipeline_lib.storage.file_tree import Entry, Tree
from pipeline_lib.storage.lease import leased
from pipeline_lib.storage.records import (
    MANIFEST,
    REJECTS,
    STAGING,
    SUCCESS,
    FileRecord,
    Manifest,
    Receipt,
    ShardRecord,
    Success,
)


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
        places = _places(ordered, file_tree.files_below(fs, folder))
        _recount(plan, ordered, places)
        _refuse_changed(plan)
        manifest = _manifest(plan, ordered)
        check_gates(plan, manifest)
        reached("publisher.before_take_down")
        confirm()
        # Readers wait while parts are added to what stands.
        storage.remove(fs, f"{folder}/{SUCCESS}")
        reached("publisher.after_take_down")
        cleanup.set_aside(fs, folder, plan.broken, folder)
        _move(fs, folder, places)
        reached("publisher.after_moving")
        files = file_tree.files_below(fs, folder)
        manifest = manifest.model_copy(update={"slices": _with_etags(ordered, files)})
        cleanup.sweep(fs, folder, manifest, files)
        reached("publisher.after_sweep")
        confirm()
        content = manifest.to_bytes()
        storage.write_atomically(fs, f"{folder}/{MANIFEST}", content)
        reached("publisher.after_manifest")
        storage.write_atomically(fs, f"{folder}/{SUCCESS}", _success(manifest, content).to_bytes())
        reached("publisher.after_success")
        cleanup.remove_staging(fs, folder)
        reached("publisher.after_cleaning")
    return manifest


def clear(plan: Plan) -> None:
    """Make ready for work: clean what dead runs left half written, set aside what stands and does not verify.

    The shards' numbers are kept before the first slice is scored, so that a killed run leaves them to the next.
    """
    fs, folder = storage.filesystem(plan.settings.output.path)
    with storage.faults_named(plan.settings.output.path, "clearing what dead runs left"):
        cleanup.clear(fs, folder, plan.version, plan.broken)
    shard_numbers.keep(plan.settings.output.path, plan.version, plan.shards)


def tidy(plan: Plan) -> None:
    """Clean what a run left that ended between publishing and cleaning, unless another run is at work."""
    if not plan.untidy:
        return
    url = plan.settings.output.path
    fs, folder = storage.filesystem(url)
    with contextlib.suppress(BusyError), leased(url), storage.faults_named(url, "cleaning"):
        cleanup.remove_staging(fs, folder, plan.version)


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


def _places(receipts: Sequence[Receipt], files: Tree) -> dict[str, tuple[str, Entry]]:
    """Return where each file of the receipts is now, below the output: staged, or moved by an earlier attempt.

    Raises:
        FaultError: it is nowhere.
    """
    places = {}
    for receipt in receipts:
        for file in receipt.files:
            staged = f"{STAGING}/{receipt.version}/{file.file}"
            path = staged if staged in files else file.file
            entry = files.get(path)
            if entry is None or not entry.regular or entry.size != file.bytes:
                raise FaultError(f"{path!r} was removed or changed while the job ran; run again")
            places[file.file] = path, entry
    return places


def _recount(plan: Plan, receipts: Sequence[Receipt], places: dict[str, tuple[str, Entry]]) -> None:
    """Check rows in == scored + rejected for every shard, counting in the files and not in our own sums."""
    counted: Counter[int] = Counter()
    files = [(receipt.shard, file) for receipt in receipts for file in receipt.files]
    fs, folder = storage.filesystem(plan.settings.output.path)

    def rows_of(file: tuple[int, FileRecord]) -> int | None:
        path, entry = places[file[1].file]
        return integrity.count_rows(fs, f"{folder}/{path}", entry.size)

    found = in_threads(rows_of, files)
    for (number, file), rows in zip(files, found, strict=True):
        if rows is None or rows != file.rows:
            raise FaultError(f"{places[file.file][0]!r} has {rows} rows, expected {file.rows}; run again")
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


def _move(fs: Any, folder: str, places: dict[str, tuple[str, Entry]]) -> None:
    """Move files into place; in an object store they are copied, and removed with all that is staged at the end."""
    move = storage.move if storage.is_local(fs) else storage.copy

    def put(file: str) -> None:
        path, entry = places[file]
        if path != file:
            move(fs, f"{folder}/{path}", f"{folder}/{file}", entry.size)
            reached("publisher.while_moving")

    list(in_threads(put, places))
    storage.keep_renames(fs, folder, f"{folder}/{REJECTS}")


def _with_etags(receipts: Sequence[Receipt], files: Tree) -> list[Receipt]:
    """Return receipts that know the ETags their files have in place, where the store's are not plain MD5.

    Raises:
        FaultError: a file is not in place.
    """

    def known(file: FileRecord) -> FileRecord:
        entry = files.get(file.file)
        if entry is None or entry.size != file.bytes:
            raise FaultError(f"{file.file!r} was removed or changed while it was published; run again")
        etag = entry.tag if entry.etag and entry.tag != file.md5 else None
        return file if file.etag == etag else file.model_copy(update={"etag": etag})

    return [
        receipt.model_copy(
            update={"part": known(receipt.part), "rejects": receipt.rejects and known(receipt.rejects)}
        )
        for receipt in receipts
    ]


def _manifest(plan: Plan, receipts: Sequence[Receipt]) -> Manifest:
    scored: Counter[int] = Counter()
    for receipt in receipts:
        scored[receipt.shard] += receipt.scored
    schemas = sorted({shard.schema for shard in plan.shards})
    head = {schema: at for at, schema in enumerate(schemas)}
    shards = [
        ShardRecord(
            number=shard.number,
            path=shard.path,
            size=shard.stamp.size,
            content=shard.content,
            rows=shard.rows,
            scored=scored[shard.number],
            rejected=shard.rows - scored[shard.number],
            head=head[shard.schema],
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
        columns={field.name: str(field.type) for field in plan.output_schema.scored_schema(plan.settings.output)},
        rows=sum(shard.rows for shard in shards),
        scored=sum(shard.scored for shard in shards),
        rejected=sum(shard.rejected for shard in shards),
        drift=merge_drifts(receipt.drift for receipt in receipts),
        computed_by=dict(sorted(Counter(receipt.computed_by for receipt in receipts).items())),
        shards=shards,
        schemas=schemas,
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
