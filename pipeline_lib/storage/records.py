"""The JSON records beside the data: receipts of slices, the manifest, the lease and the mark of completeness."""

import bisect
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

MANIFEST = "_manifest.json"
SUCCESS = "_SUCCESS"
METRICS = "_metrics.json"
REPORT = "_report.html"
INDEX = "_index.html"
REJECTS = "_rejects"
STAGING = "_staging"
JOINED = "_files"
"""Below the folder of a staged version: files that slices were joined into."""
RUNS = "_runs"
LEASE = "_lease.json"
NUMBERS = "_shards.json"
ASIDE = "_aside"

# In the metadata of every Parquet file of ours.
VERSION_KEY = "nightscore.version"


# Others may write to the folders that records are read from: a record with a name that leads elsewhere is refused.
_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Version = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
_FileName = Annotated[str, Field(pattern=rf"^({REJECTS}/)?part-[0-9]{{5,10}}-[0-9]{{9,18}}\.parquet$")]
_Count = Annotated[int, Field(ge=0, lt=10**18)]
_ShardNumber = Annotated[int, Field(ge=0, lt=10**10)]
_Path = Annotated[str, Field(min_length=1, max_length=8192, pattern=r"^[^\x00]+$")]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def to_bytes(self) -> bytes:
        """Return JSON bytes that are the same for the same record."""
        return to_json(self.model_dump(mode="json"))


_R = TypeVar("_R", bound=_Record)


class FileRecord(_Record):
    """A file that was written, and its size and hashes to compare it with later."""

    file: _FileName
    """Path below the output folder."""
    rows: _Count
    bytes: _Count
    sha256: _Hash
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    """The ETag in most object stores, which then proves the content without reading it."""
    etag: Annotated[str, Field(max_length=256)] | None = None
    """The store's ETag of the written file, if it is not the MD5."""

    @property
    def etags(self) -> tuple[str, ...]:
        """The ETags that only this content has."""
        return tuple(tag for tag in (self.md5, self.etag) if tag)


class LeaseRecord(_Record):
    """The run that is working on an output."""

    run: str
    host: str
    pid: int
    process: str | None
    """Distinguishes the process from any other that ever had its id, where the operating system can tell."""
    beat: int = 0
    """The heartbeat: raised every few seconds while the owner lives."""


class Drift(_Record):
    """How far scores in half precision are from float32, on a sample of rows."""

    rows: int
    flips: int
    """Number of rows whose label differs."""
    largest: float
    """Largest difference of any label's score."""


class ShardNumbers(_Record):
    """The numbers of the shards, assigned before the first slice of a version is scored."""

    version: str
    numbers: dict[str, Annotated[int, Field(ge=0)]]
    """By the path of the shard."""


class StoredRows(_Record):
    """A run of rows of one shard, in one file of those with a score and, if there are others, one of rejects."""

    version: _Version
    shard: _ShardNumber
    first_row: _Count
    rows: _Count
    """Rows of the shard, with a score or without."""
    part: FileRecord
    rejects: FileRecord | None

    @model_validator(mode="after")
    def _names_its_own_files(self) -> Self:
        name = f"part-{self.shard:05d}-{self.first_row:09d}.parquet"
        if self.part.file != name or (self.rejects and self.rejects.file != f"{REJECTS}/{name}"):
            raise ValueError("names files of other rows")
        return self

    @property
    def scored(self) -> int:
        """Number of rows with a score."""
        return self.part.rows

    @property
    def rejected(self) -> int:
        """Number of rejected rows."""
        return self.rejects.rows if self.rejects else 0

    @property
    def files(self) -> list[FileRecord]:
        """The part, and the file of rejects if there is one."""
        return [self.part, self.rejects] if self.rejects else [self.part]


class Receipt(StoredRows):
    """What one slice wrote: a receipt is written after its files, so that its existence means they are complete."""

    path: _Path
    size: _Count
    content: str
    """The shard's ETag or SHA-256."""
    drift: Drift | None = None
    computed_by: str = ""
    """The device, the layout of batches and the libraries by which the scores were computed."""
    labels: dict[str, int] | None = None
    """Number of scored rows by label; None in receipts of earlier releases."""
    reject_codes: dict[str, int] | None = None
    """Number of rejected rows by code; None in receipts of earlier releases."""
    statistics: dict[str, Any] | None = None
    """Of its rows, as `RowStatistics.to_json` gives them. None in receipts of earlier releases, where scores were
    taken over, and in a manifest, which has their sums."""
    truth: dict[str, Any] | None = None
    """As `Evaluation.to_json` gives it. None in a manifest, in receipts of earlier releases, and where the settings
    name no truth."""
    truth_settings: str | None = None
    """By which settings the truth was read; None in a manifest."""


class JoinedFile(StoredRows):
    """A file that several slices of a shard, one after another, were joined into."""

    made_of: _Hash
    """What `digest_of` returns for its slices: with other slices it would be another file."""


class Accepted(_Record):
    """Why a result was published although a gate stopped it."""

    why: str
    """The words that were given."""
    gates: dict[str, str]
    """What each gate found, by the name of the gate."""


class ShardRecord(_Record):
    """A shard as it was when it was scored, and how many of its rows were scored and rejected."""

    number: _ShardNumber
    path: _Path
    size: _Count
    content: str
    """Its ETag or SHA-256."""
    rows: _Count
    scored: _Count
    rejected: _Count
    head: Annotated[int, Field(ge=0)] | None = None
    """Index of the shard's columns in the manifest's `schemas`."""
    statistics: dict[str, Any] | None = None
    """The sum of those of its slices; None where an earlier release scored some of them."""
    truth: dict[str, Any] | None = None
    """Likewise; None also where the settings name no truth."""


class Manifest(_Record):
    """Everything that is published, and what it was made with; without times and run ids, so that reruns agree."""

    format: Literal[1] = 1
    version: _Version
    fingerprint: dict[str, Any]
    """Everything that decides a score; the version is its hash."""
    model: dict[str, Any]
    settings: dict[str, Any]
    libraries: dict[str, str]
    columns: dict[str, str]
    """Names and types of the scored rows."""
    rows: int
    scored: int
    rejected: int
    drift: Drift | None
    """For scores in half precision only."""
    accepted: Accepted | None = None
    """Only where a gate had stopped the result."""
    computed_by: dict[str, int] = {}
    """Number of slices by the receipts' `computed_by`; several entries where devices or libraries differed."""
    shards: list[ShardRecord]
    schemas: list[str] = []
    """The distinct schemas of the shards, as Arrow serialises them, in base64."""
    slices: list[Receipt]
    """What each slice wrote before it was published."""
    files: list[JoinedFile] = []
    """The files that slices were joined into. Those of any other slice are published as the slice wrote them."""

    @property
    def published(self) -> list[StoredRows]:
        """What readers find: the joined files, and the slices with files of their own."""
        joined = joined_files_of(self.slices, self.files)
        own = [receipt for receipt in self.slices if (receipt.shard, receipt.first_row) not in joined]
        return sorted([*self.files, *own], key=lambda each: (each.shard, each.first_row))

    @property
    def published_files(self) -> list[FileRecord]:
        """The files that readers find, parts and rejects."""
        return [file for each in self.published for file in each.files]

    def to_bytes(self) -> bytes:
        """Return JSON bytes; joined files, or that a gate stopped it, are only mentioned if there is any of it."""
        without: dict[str, Any] = {"slices": {"__all__": {"statistics", "truth", "truth_settings"}}}
        without |= {name: True for name in ("accepted", "files") if not getattr(self, name)}
        return to_json(self.model_dump(mode="json", exclude=without))


class Success(_Record):
    """The content of `_SUCCESS`: readers that wait for this file see one complete version."""

    version: _Version
    rows: _Count
    scored: _Count
    rejected: _Count
    manifest: str = MANIFEST
    manifest_sha256: _Hash


def digest_of(slices: Iterable[Receipt]) -> str:
    """Return the SHA-256 of what slices wrote, by the hashes of their files in the order of their rows."""
    written = [
        [each.first_row, each.rows, each.part.sha256, each.rejects.sha256 if each.rejects else None]
        for each in slices
    ]
    return hashlib.sha256(json.dumps(written, separators=(",", ":")).encode()).hexdigest()


def joined_files_of(
    receipts: Iterable[Receipt], files: Sequence[JoinedFile]
) -> Mapping[tuple[int, int], JoinedFile]:
    """Return the joined file of each slice that is in one, by (number of the shard, first row)."""
    ordered = sorted(files, key=lambda file: (file.shard, file.first_row))
    starts = [(file.shard, file.first_row) for file in ordered]
    found: dict[tuple[int, int], JoinedFile] = {}
    for receipt in receipts:
        at = bisect.bisect_right(starts, (receipt.shard, receipt.first_row)) - 1
        file = ordered[at] if at >= 0 else None
        if file and file.shard == receipt.shard and receipt.first_row < file.first_row + file.rows:
            found[receipt.shard, receipt.first_row] = file
    return found


def staged_names(receipts: Iterable[Receipt], joined: Iterable[JoinedFile] = ()) -> list[str]:
    """Return the paths below `_staging/` of all that runs stage for some slices and for the files made of them."""
    names = {f"{receipt.version}/{name}" for receipt in receipts for name in (NUMBERS, METRICS, REPORT)}
    places: list[tuple[str, StoredRows]] = [(each.version, each) for each in receipts]
    places += [(f"{each.version}/{JOINED}", each) for each in joined]
    for folder, each in places:
        names |= {f"{folder}/{file.file}" for file in each.files}
        names.add(f"{folder}/{each.part.file.removesuffix('.parquet')}.json")
    return sorted(names)


def parse(kind: type[_R], content: bytes | None) -> _R | None:
    """Return a record from its JSON, or None if the JSON is missing, incomplete or another record's."""
    if content is None:
        return None
    try:
        return kind.model_validate_json(content)
    except ValidationError:
        return None


def to_json(value: Any) -> bytes:
    """Return JSON bytes that are the same for the same value."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
