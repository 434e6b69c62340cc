"""The JSON records beside the data: receipts of slices, the manifest, the lease and the mark of completeness."""

import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

MANIFEST = "_manifest.json"
SUCCESS = "_SUCCESS"
METRICS = "_metrics.json"
REPORT = "_report.html"
INDEX = "_index.html"
REJECTS = "_rejects"
STAGING = "_staging"
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


class Receipt(_Record):
    """What one slice wrote: a receipt is written after its files, so that its existence means they are complete."""

    version: _Version
    shard: _ShardNumber
    path: _Path
    size: _Count
    content: str
    """The shard's ETag or SHA-256."""
    first_row: _Count
    rows: _Count
    part: FileRecord
    rejects: FileRecord | None
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

    @model_validator(mode="after")
    def _names_its_own_files(self) -> Self:
        name = f"part-{self.shard:05d}-{self.first_row:09d}.parquet"
        if self.part.file != name or (self.rejects and self.rejects.file != f"{REJECTS}/{name}"):
            raise ValueError("names files of another slice")
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

    def to_bytes(self) -> bytes:
        """Return JSON bytes; those of a result that no gate stopped do not mention gates."""
        sums_alone: dict[str, Any] = {"slices": {"__all__": {"statistics", "truth", "truth_settings"}}}
        return to_json(
            self.model_dump(mode="json", exclude=sums_alone if self.accepted else {**sums_alone, "accepted": True})
        )


class Success(_Record):
    """The content of `_SUCCESS`: readers that wait for this file see one complete version."""

    version: _Version
    rows: _Count
    scored: _Count
    rejected: _Count
    manifest: str = MANIFEST
    manifest_sha256: _Hash


def staged_names(receipts: Iterable[Receipt]) -> list[str]:
    """Return the paths below `_staging/` of all that runs stage for some slices."""
    names = {f"{receipt.version}/{name}" for receipt in receipts for name in (NUMBERS, METRICS, REPORT)}
    for receipt in receipts:
        ending = len(".parquet")
        names |= {f"{receipt.version}/{file.file}" for file in receipt.files}
        names.add(f"{receipt.version}/{receipt.part.file[:-ending]}.json")
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
