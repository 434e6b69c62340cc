"""Earlier work in an output folder: what of it counts for a version, and what must not be replaced."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_lib.errors import OutputError, listed
from pipeline_lib.inputs.shards import Shard
from pipeline_lib.planning.resume.output_state import OutputState, staged_joined_files, staged_receipts
from pipeline_lib.planning.resume.score_reuse import can_reuse
from pipeline_lib.planning.version_changes import differences
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage import cleanup
from pipeline_lib.storage.records import LEASE, STAGING, JoinedFile, Manifest, Receipt, joined_files_of
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of


@dataclass(frozen=True)
class EarlierWork:
    """What earlier runs left for one version."""

    published: Manifest | None
    """What readers see, if it is of this version."""
    replaced: str | None
    """The version that readers see, if it is another one, which may be replaced."""
    same_scores: Manifest | None
    """The manifest of that other version, if its scores can be taken over."""
    counted: Manifest | None
    """The newest manifest of the same scores, published or about to be: it has the statistics of their shards."""
    receipts: tuple[Receipt, ...]
    """Of every slice that a run of this version finished, published or staged; not verified yet."""
    joined: tuple[JoinedFile, ...]
    """Files that runs of this version joined slices into, published or staged; not verified yet."""
    own_files: frozenset[tuple[int, int]]
    """(Number of the shard, first row) of slices that are published and not joined, as earlier releases did."""
    foreign_files: tuple[str, ...]
    """Files that readers see and that no manifest names."""
    needs_cleanup: bool
    """Whether staged files of this version, a lease or a probe of the store exist."""

    @property
    def shard_numbers(self) -> dict[str, int]:
        """The shards' numbers in the names of their parts, by path."""
        return {receipt.path: receipt.shard for receipt in self.receipts}


def find_earlier_work(
    output: OutputState, version: str, fingerprint: Mapping[str, Any], settings: Settings, *, replace: bool
) -> EarlierWork:
    """Return what earlier runs left for a version.

    Args:
        output: the state of the output folder.
        version: the version that this run makes.
        fingerprint: what decides that version.
        settings: the job's settings.
        replace: whether a version of other scores may be replaced.

    Raises:
        OutputError: another version is published, or the folder holds data of somebody else.
    """
    success, manifest = output.success, output.manifest
    replaced = success.version if success and success.version != version else None
    other = manifest if replaced and output.is_complete else None
    same_scores = other if can_reuse(other, fingerprint) else None
    if replaced and not replace and not same_scores:
        why = differences(manifest, settings, fingerprint) if manifest else ""
        raise OutputError(
            f"{output.url!r} holds version {replaced}, this would be {version}: "
            f"{why or 'the checkpoint or a setting differs'}; "
            "publish it instead with --replace, or choose another output.path"
        )
    with translated_errors(output.url, "looking at the output"):
        foreign_files = _foreign_files(output)
        staged, staged_joined = staged_receipts(output, version), staged_joined_files(output, version)
    ours = manifest if manifest and manifest.version == version else None
    # Of two receipts of a slice the staged one is newer.
    receipts = [*(ours.slices if ours else ()), *staged]
    newest = {(receipt.shard, receipt.first_row): receipt for receipt in receipts}
    return EarlierWork(
        published=ours if output.is_complete and not replaced else None,
        replaced=replaced,
        same_scores=same_scores,
        counted=ours or same_scores,
        receipts=tuple(newest.values()),
        joined=tuple(dict.fromkeys([*staged_joined, *(ours.files if ours else ())])),
        own_files=_own_files(ours, staged) if ours else frozenset(),
        foreign_files=foreign_files,
        needs_cleanup=LEASE in output.files or output.has_staged(version) or bool(cleanup.probes(output.files)),
    )


def _own_files(published: Manifest, staged: Sequence[Receipt]) -> frozenset[tuple[int, int]]:
    places = {(receipt.shard, receipt.first_row) for receipt in published.slices}
    anew = {(receipt.shard, receipt.first_row) for receipt in staged}
    return frozenset(places - anew - joined_files_of(published.slices, published.files).keys())


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


def is_own_output(output: OutputState) -> bool:
    """Tell whether an output folder is empty or of this job, so that a run may write to it.

    Raises:
        NightscoreError: the storage failed.
    """
    try:
        with translated_errors(output.url, "looking at the output"):
            _foreign_files(output)
    except OutputError:
        return False
    return True


def _foreign_files(output: OutputState) -> tuple[str, ...]:
    """Return the files that readers see and that no manifest names.

    Raises:
        OutputError: there are some, and nothing shows that this job ever wrote here.
    """
    foreign = cleanup.foreign_files(location_of(output.url), output.manifest, output.files)
    if foreign and output.manifest is None and not any(name.startswith(f"{STAGING}/") for name in output.files):
        raise OutputError(
            f"{output.url!r} already holds {listed(foreign, 3)}, which this job did not write; "
            "choose a folder of its own"
        )
    return tuple(foreign)
