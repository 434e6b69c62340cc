"""Joins staged slices into files: rows are copied as they are, and a slice only if it is the one that was written.

A joined file is staged too, so that readers wait only while it is moved into place. On a disk it is recorded, and
then its slices are removed, so that there is no second copy of more than the files that are being joined. Until it
is recorded it counts for nothing, and the slices are there. In a store the slices stay until all is published,
since each removal takes a request; a run after a kill joins them again.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib.errors import FaultError
from pipeline_lib.machine.failpoints import reached
from pipeline_lib.machine.parallel import read_ahead
from pipeline_lib.planning.plan import Plan
from pipeline_lib.publishing.files.layout import FileLimits, cut_into_files
from pipeline_lib.publishing.files.row_groups import HashedFile, write_row_groups
from pipeline_lib.publishing.files.schemas import reject_schema, scored_schema
from pipeline_lib.storage.location import Files, FileStamp
from pipeline_lib.storage.records import (
    JOINED,
    REJECTS,
    STAGING,
    FileRecord,
    JoinedFile,
    Receipt,
    digest_of,
    joined_files_of,
)
from pipeline_lib.storage.store_errors import translated_errors, with_retries
from pipeline_lib.storage.urls import location_of

_MOST_FILES_AT_A_TIME = 4
"""Each needs memory for a row group, in a store for the whole file."""
_SLICES_READ_AHEAD = 8
_ROWS_READ_AT_A_TIME = 16_384


@dataclass(frozen=True)
class Joined:
    """The files that slices were joined into, and the state of these by their paths below the output."""

    files: list[JoinedFile]
    stamps: Files


@dataclass(frozen=True)
class Hooks:
    """What publishing calls on its way."""

    confirm: Callable[[], None]
    """Raises if the run may no longer change the output."""
    joined: Callable[[int, int], None] = lambda _files, _of_files: None
    """Called with how many of all files slices have been joined into."""


def joined_files(plan: Plan, receipts: Sequence[Receipt], hooks: Hooks) -> Joined:
    """Join the slices of a plan into files; what earlier runs joined and published stays.

    Args:
        plan: the run's plan.
        receipts: of every slice of the plan, in the order of shards and rows.
        hooks: what is called on the way.

    Raises:
        FaultError: a slice was removed or changed, or the storage failed, and all retries too.
        BusyError: another run holds the output now.
    """
    joined = joined_files_of(receipts, plan.joined)
    limits = FileLimits(plan.settings.output.rows_per_file)
    to_make = cut_into_files(receipts, joined.keys() | plan.own_files, limits)
    made = Joiner(plan, hooks).join([slices for slices in to_make if len(slices) > 1])
    return Joined(sorted([*plan.joined, *made.files], key=lambda file: (file.shard, file.first_row)), made.stamps)


class Joiner:
    """Joins the slices of a plan.

    Args:
        plan: the run's plan.
        hooks: see `joined_files`.
    """

    def __init__(self, plan: Plan, hooks: Hooks) -> None:
        self._plan, self._hooks = plan, hooks
        self._output = location_of(plan.settings.output.path)
        self._staging = self._output / STAGING / plan.version
        self._below = f"{STAGING}/{plan.version}/{JOINED}"
        self._is_over = threading.Event()

    def join(self, files: Sequence[Sequence[Receipt]]) -> Joined:
        """Join slices into files, several at a time.

        Args:
            files: the slices of each file, in the order of their rows.

        Raises:
            FaultError: a slice was removed or changed, or the storage failed, and all retries too.
            BusyError: another run holds the output now.
        """
        at_a_time = min(len(os.sched_getaffinity(0)), _MOST_FILES_AT_A_TIME)
        joined: list[JoinedFile] = []
        stamps: Files = {}
        pool = ThreadPoolExecutor(at_a_time)
        try:
            for file, found in pool.map(self._join_with_retries, files):
                joined.append(file)
                stamps |= found
                self._hooks.joined(len(joined), len(files))
        finally:
            self._is_over.set()  # a signal, or a failure of one file, ends the others within a slice
            pool.shutdown(cancel_futures=True)
        return Joined(joined, stamps)

    def _join_with_retries(self, slices: Sequence[Receipt]) -> tuple[JoinedFile, Files]:
        def once() -> tuple[JoinedFile, Files]:
            with translated_errors(self._staging.url, "joining slices"):
                return self._join(slices)

        return with_retries(once)

    def _join(self, slices: Sequence[Receipt]) -> tuple[JoinedFile, Files]:
        parts = [each.part for each in slices]
        part, stamp = self._written(parts, parts[0].file, scored_schema(self._plan))
        stamps = {part.file: stamp}
        reached("publisher.while_joining")
        rejects, of_rejects = None, [each.rejects for each in slices if each.rejects]
        if of_rejects:
            name = f"{REJECTS}/{part.file}"
            rejects, stamp = self._written(of_rejects, name, reject_schema(self._plan))
            stamps[name] = stamp
        first, last = slices[0], slices[-1]
        file = JoinedFile(
            version=self._plan.version,
            shard=first.shard,
            first_row=first.first_row,
            rows=last.first_row + last.rows - first.first_row,
            part=part,
            rejects=rejects,
            made_of=digest_of(slices),
        )
        if self._output.is_local:
            self._replace(slices, file)
        return file, {f"{self._below}/{name}": stamp for name, stamp in stamps.items() if stamp}

    def _replace(self, slices: Sequence[Receipt], file: JoinedFile) -> None:
        """Record a file, which is durable, and remove the files of its slices."""
        name = file.part.file.removesuffix(".parquet")
        (self._staging / JOINED / f"{name}.json").write(file.to_bytes())
        reached("publisher.after_joining")
        self._hooks.confirm()
        for each in slices:
            for record in each.files:
                (self._staging / record.file).remove()
            reached("publisher.while_removing_slices")

    def _written(
        self, records: Sequence[FileRecord], name: str, schema: pa.Schema
    ) -> tuple[FileRecord, FileStamp | None]:
        """Write one file of the rows of others, and return its record and its state."""
        target = self._staging / JOINED / name
        hashed: list[HashedFile] = []
        rows = 0

        def fill(file: IO[bytes]) -> None:
            nonlocal rows
            hashed.append(HashedFile(file))
            rows = write_row_groups(self._tables(records, schema), schema, hashed[-1])

        etag = target.write_by(fill)
        written = hashed[-1]
        stamp = FileStamp(written.size, etag, etag=True) if etag else target.stamp_now()
        record = FileRecord(
            file=name, rows=rows, bytes=written.size, sha256=written.sha256, md5=written.md5, etag=None
        )
        return record.model_copy(update={"etag": None if etag == written.md5 else etag}), stamp

    def _tables(self, records: Sequence[FileRecord], schema: pa.Schema) -> Iterator[pa.Table]:
        """Yield the rows of files, some at a time.

        Raises:
            FaultError: a file is not the one that was written, or all this is over.
        """
        for content in read_ahead(self._content, records, _SLICES_READ_AHEAD):
            with pq.ParquetFile(pa.BufferReader(content)) as parquet:
                for batch in parquet.iter_batches(_ROWS_READ_AT_A_TIME):
                    yield pa.Table.from_batches([batch]).cast(schema)

    def _content(self, record: FileRecord) -> bytes:
        if self._is_over.is_set():
            raise FaultError("joining slices was stopped")
        for folder in (self._staging, self._output):  # of an earlier release, it may be published already
            content = (folder / record.file).read()
            if content is not None and hashlib.sha256(content).hexdigest() == record.sha256:
                return content
        raise FaultError(
            f"{record.file!r}, staged or published, was removed or changed while the job ran; run again"
        )
