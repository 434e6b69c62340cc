"""Verify: read a published output and check every file and every count against the manifest."""

from collections import Counter, defaultdict

from pipeline_lib.errors import OutputError
from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.planning.resume.output_state import OutputState, read_output
from pipeline_lib.planning.version import version_of
from pipeline_lib.storage import cleanup, integrity
from pipeline_lib.storage.records import (
    MANIFEST,
    SUCCESS,
    FileRecord,
    Manifest,
    Receipt,
    Success,
    digest_of,
    joined_files_of,
)
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of


def verify(path: str) -> tuple[Manifest, list[str]]:
    """Return the manifest of an output folder, and one line for each thing that is wrong.

    Raises:
        OutputError: nothing is published there.
    """
    output = read_output(path)
    success, manifest = output.success, output.manifest
    if success is None or manifest is None:
        missing = SUCCESS if success is None else MANIFEST
        raise OutputError(f"{path!r} is not a published output: no readable {missing}")
    with translated_errors(path, "verifying"):
        return manifest, [
            *_check_success(success, manifest, whole=output.is_complete),
            *_check_files(output, manifest),
            *(f"{name}: is not in {MANIFEST}" for name in _unlisted(output, manifest)),
            *_check_version(manifest),
            *_check_slices(manifest),
            *_check_joined_files(manifest),
            *_check_counts(manifest),
        ]


def _unlisted(output: OutputState, manifest: Manifest) -> list[str]:
    return cleanup.existing_unlisted_files(location_of(output.url), manifest, output.files)


def _check_success(success: Success, manifest: Manifest, *, whole: bool) -> list[str]:
    problems = []
    if not whole:
        problems.append(f"{MANIFEST}: is not the manifest that {SUCCESS} was written for")
    for name in ("version", "rows", "scored", "rejected"):
        marked, listed = getattr(success, name), getattr(manifest, name)
        if marked != listed:
            problems.append(f"{SUCCESS}: says {name} {marked}, {MANIFEST} says {listed}")
    return problems


def _check_files(output: OutputState, manifest: Manifest) -> list[str]:
    folder = location_of(output.url)
    files = manifest.published_files

    def fault(record: FileRecord) -> str | None:
        file = folder / record.file
        return integrity.fault(file, record, output.files.get(record.file)) or integrity.version_fault(
            file, manifest.version
        )

    faults = zip(files, in_threads(fault, files), strict=True)
    return [f"{file.file}: {what}" for file, what in faults if what]


def _check_version(manifest: Manifest) -> list[str]:
    problems = []
    if version_of(manifest.fingerprint) != manifest.version:
        problems.append(f"{MANIFEST}: version {manifest.version} is not that of its fingerprint")
    stored = [*manifest.slices, *manifest.files]
    others = sorted({each.part.file for each in stored if each.version != manifest.version})
    return problems + [f"{MANIFEST}: {name} is of another version" for name in others]


def _check_slices(manifest: Manifest) -> list[str]:
    """Check that the slices of each shard cover each of its rows once."""
    problems = []
    by_shard: dict[int, list[Receipt]] = defaultdict(list)
    for receipt in manifest.slices:
        by_shard[receipt.shard].append(receipt)
    for shard in manifest.shards:
        slices = sorted(by_shard.pop(shard.number, []), key=lambda receipt: receipt.first_row)
        ends = [0, *(receipt.first_row + receipt.rows for receipt in slices)]
        if [*(receipt.first_row for receipt in slices), shard.rows] != ends:
            problems.append(
                f"{MANIFEST}: the parts of shard {shard.path!r} don't cover its {shard.rows:,} rows once"
            )
        if any((receipt.path, receipt.content) != (shard.path, shard.content) for receipt in slices):
            problems.append(f"{MANIFEST}: parts of shard {shard.path!r} were made of another file")
    return problems + [f"{MANIFEST}: has parts of shard {number}, which it does not list" for number in by_shard]


def _check_joined_files(manifest: Manifest) -> list[str]:
    """Check that each joined file has the rows of its slices, and no slice is in two files."""
    joined = joined_files_of(manifest.slices, manifest.files)
    slices: dict[str, list[Receipt]] = defaultdict(list)
    for receipt in sorted(manifest.slices, key=lambda each: each.first_row):
        if file := joined.get((receipt.shard, receipt.first_row)):
            slices[file.part.file].append(receipt)
    listed = Counter(file.part.file for file in manifest.files)
    problems = [f"{MANIFEST}: lists {name} {times} times" for name, times in listed.items() if times > 1]
    for file in manifest.files:
        own = slices[file.part.file]
        counts = tuple(sum(getattr(each, name) for each in own) for name in ("rows", "scored", "rejected"))
        if counts != (file.rows, file.scored, file.rejected) or digest_of(own) != file.made_of:
            problems.append(f"{MANIFEST}: {file.part.file} was not made of the slices that are listed for its rows")
    return problems


def _check_counts(manifest: Manifest) -> list[str]:
    problems = []
    scored_of: Counter[int] = Counter()
    rejected_of: Counter[int] = Counter()
    for receipt in manifest.slices:
        scored_of[receipt.shard] += receipt.scored
        rejected_of[receipt.shard] += receipt.rejected
    for shard in manifest.shards:
        scored, rejected = scored_of[shard.number], rejected_of[shard.number]
        if (shard.rows, shard.scored, shard.rejected) != (scored + rejected, scored, rejected):
            problems.append(
                f"{MANIFEST}: shard {shard.path!r} has {shard.rows:,} rows, its parts {scored:,} scored "
                f"and {rejected:,} rejected"
            )
    for name in ("rows", "scored", "rejected"):
        total = sum(getattr(shard, name) for shard in manifest.shards)
        if getattr(manifest, name) != total:
            problems.append(f"{MANIFEST}: says {name} {getattr(manifest, name):,}, its shards sum to {total:,}")
    return problems
