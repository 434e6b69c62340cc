"""What the files of a night tell: of what readers see, or of what a gate holds back. No score is read."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from pipeline_lib.errors import BusyError, GateError, InputNotReadyError
from pipeline_lib.reporting.pages.facts.figures import NightFigures, parse_figures
from pipeline_lib.reporting.records.run_record import record_names
from pipeline_lib.statistics.row_statistics import RowStatistics
from pipeline_lib.storage.integrity import read_receipts
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.records import (
    MANIFEST,
    METRICS,
    REPORT,
    RUNS,
    STAGING,
    SUCCESS,
    Manifest,
    Receipt,
    ShardRecord,
    parse,
)
from pipeline_lib.storage.store_errors import translated_errors


@dataclass(frozen=True)
class NightFiles:
    """A night that is published or held."""

    folder: Location
    """Of the output."""
    date: dt.date | None
    figures: NightFigures
    run: NightFigures | None
    """The newest record of a run."""
    manifest: Manifest | None
    """None where the night is held."""
    shards: tuple[ShardRecord, ...]
    held: bool
    is_published: bool
    """Whether readers see a result, which may be an earlier one of a night that is held."""

    @property
    def model(self) -> Mapping[str, Any]:
        """What is known of the checkpoint, as in the manifest."""
        return self.manifest.model if self.manifest else self.figures.model

    @property
    def page_folder(self) -> Location:
        """Where the page of the night stands: beside what it is about."""
        return self.folder / STAGING / self.figures.version if self.held else self.folder

    @property
    def page(self) -> Location:
        """The page itself."""
        return self.page_folder / REPORT


def read_night(folder: Location, date: dt.date | None) -> NightFiles:
    """Return what the files of a night tell.

    Args:
        folder: of its output.
        date: of the night, if the output has dates.

    Raises:
        InputNotReadyError: nothing is published or held there.
        FaultError: the storage failed.
    """
    with translated_errors(folder.url, "reading what the runs left"):
        names = record_names(f"{RUNS}/{name}" for name in (folder / RUNS).names())
        run = newest_figures(folder, names)
        is_published = (folder / SUCCESS).read() is not None
        if run and is_held(run):
            return _held(folder, date, run, is_published=is_published)
        figures = parse_figures((folder / METRICS).read())
        manifest = parse(Manifest, (folder / MANIFEST).read()) if is_published else None
    if manifest is None:
        raise InputNotReadyError(_nothing_there(folder, date, run))
    if figures is None or figures.version != manifest.version:
        figures = NightFigures(status="PUBLISHED", version=manifest.version)
    shards = tuple(manifest.shards)
    return NightFiles(folder, date, figures, run, manifest, shards, held=False, is_published=True)


def newest_figures(folder: Location, names: Iterable[str]) -> NightFigures | None:
    """Return what the newest record of a run tells that did not only find another run at work.

    Args:
        folder: of the output.
        names: of its records, the newest first.
    """
    for name in names:
        figures = parse_figures((folder / RUNS / name).read())
        if figures and figures.status and figures.exit_code != BusyError.exit_code:
            return figures
    return None


def is_held(run: NightFigures) -> bool:
    """Tell whether a gate stopped a run."""
    return run.status == "FAILED" and run.exit_code == GateError.exit_code and bool(run.version)


def held_figures(folder: Location, run: NightFigures) -> NightFigures:
    """Return the figures of a night that a gate holds, with the gate, which its metrics do not name."""
    staged = parse_figures((folder / STAGING / run.version / METRICS).read())
    if staged is None or staged.version != run.version:
        return run
    return staged.model_copy(update={"gate": run.gate, "error": run.error})


def _held(folder: Location, date: dt.date | None, run: NightFigures, *, is_published: bool) -> NightFiles:
    staging = folder / STAGING / run.version
    names = [name for name in staging.names() if name.startswith("part-") and name.endswith(".json")]
    shards = _shards_of(receipt for receipt in read_receipts(staging, names) if receipt)
    figures = held_figures(folder, run)
    return NightFiles(folder, date, figures, run, None, shards, held=True, is_published=is_published)


def _shards_of(receipts: Iterable[Receipt]) -> tuple[ShardRecord, ...]:
    """Return the shards of staged slices, as the manifest would have them."""
    by_shard: dict[int, list[Receipt]] = {}
    for receipt in receipts:
        by_shard.setdefault(receipt.shard, []).append(receipt)
    return tuple(
        ShardRecord(
            **some[0].model_dump(include={"path", "size", "content"}),
            number=number,
            rows=sum(receipt.rows for receipt in some),
            scored=sum(receipt.scored for receipt in some),
            rejected=sum(receipt.rejected for receipt in some),
            statistics=_sum(some),
        )
        for number, some in sorted(by_shard.items())
    )


def _sum(receipts: Iterable[Receipt]) -> dict[str, Any] | None:
    """Return the sum of the statistics of slices, or None where one has none that this release can read."""
    try:
        return reduce(add, (RowStatistics.from_json(receipt.statistics) for receipt in receipts)).to_json()
    except ValueError:
        return None


def _nothing_there(folder: Location, date: dt.date | None, run: NightFigures | None) -> str:
    where = f"the night {date} in {folder.url!r}" if date else repr(folder.url)
    if run is None:
        return f"{where}: no run has published anything or was held there, so there is nothing to show"
    how = f"failed: {run.error}" if run.status == "FAILED" else f"is {run.status}"
    return f"{where}: nothing is published or held there; the newest run {how}"
