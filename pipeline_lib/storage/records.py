"""The records beside the data: what a slice left, what was published, and the mark that it is complete."""

import json
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

MANIFEST = "_manifest.json"
SUCCESS = "_SUCCESS"
METRICS = "_metrics.json"
REJECTS = "_rejects"
STAGING = "_staging"
RUNS = "_runs"
LEASE = "_lease.json"
NUMBERS = "_shards.json"
ASIDE = "_aside"

# In the metadata of every Parquet file of ours.
VERSION_KEY = "nightscore.version"


# Records are read from folders that others may write in: a name that leads elsewhere makes a record none of ours.
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
    """A file that was written, and how to tell that it is still the same."""

    file: _FileName
    """Path below the output folder."""
    rows: _Count
    bytes: _Count
    sha256: _Hash
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    """What most object stores have for an ETag; they then prove the content without its being read."""
    etag: Annotated[str, Field(max_length=256)] | None = None
    """The store's ETag once written, where that is another."""

    @property
    def etags(self) -> tuple[str, ...]:
        """ETags that this content and no other has."""
        return tuple(tag for tag in (self.md5, self.etag) if tag)


class LeaseRecord(_Record):
    """Who is at work on an output."""

    run: str
    host: str
    pid: int
    process: str | None
    """What tells the process from every other one, where the system can say."""
    beat: int = 0
    """Raised every few seconds as long as the owner lives."""


class Drift(_Record):
    """How far scores in half precision are from those in float32, on a sample of rows."""

    rows: int
    flips: int
    """Rows with another label."""
    largest: float
    """Largest difference of any label's score."""


class ShardNumbers(_Record):
    """The numbers that shards were given before work on a version started."""

    version: str
    numbers: dict[str, Annotated[int, Field(ge=0)]]
    """By path."""


class Receipt(_Record):
    """What one slice left: written after its files, so that its existence says they are whole."""

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
    """The device, the layout of batches and the libraries that computed the scores."""
    labels: dict[str, int] | None = None
    """Scored rows by label; receipts of earlier releases do not have it."""
    reject_codes: dict[str, int] | None = None
    """Rejected rows by reason; likewise."""

    @model_validator(mode="after")
    def _names_its_own_files(self) -> Self:
        name = f"part-{self.shard:05d}-{self.first_row:09d}.parquet"
        if self.part.file != name or (self.rejects and self.rejects.file != f"{REJECTS}/{name}"):
            raise ValueError("names files of another slice")
        return self

    @property
    def scored(self) -> int:
        """Rows with a score."""
        return self.part.rows

    @property
    def rejected(self) -> int:
        """Rows with a reason why there is no score."""
        return self.rejects.rows if self.rejects else 0

    @property
    def files(self) -> list[FileRecord]:
        """The part, and the rejects if there are any."""
        return [self.part, self.rejects] if self.rejects else [self.part]


class ShardRecord(_Record):
    """A shard as it was when it was scored, and what became of its rows."""

    number: _ShardNumber
    path: _Path
    size: _Count
    content: str
    """Its ETag or SHA-256."""
    rows: _Count
    scored: _Count
    rejected: _Count
    head: Annotated[int, Field(ge=0)] | None = None
    """Which of the manifest's schemas is that of this shard."""


class Manifest(_Record):
    """Everything that is published, and what it was made with. It holds no clock time and no run id."""

    format: Literal[1] = 1
    version: _Version
    fingerprint: dict[str, Any]
    """All that decides a score; the version is its hash."""
    model: dict[str, Any]
    settings: dict[str, Any]
    libraries: dict[str, str]
    columns: dict[str, str]
    """Names and types of the scored rows."""
    rows: int
    scored: int
    rejected: int
    drift: Drift | None
    """For scores in half precision: how far they are from float32."""
    computed_by: dict[str, int] = {}
    """Slices by what computed them, as their receipts say; several entries where devices or libraries differ."""
    shards: list[ShardRecord]
    schemas: list[str] = []
    """Columns of the shards, each kind once, as Arrow writes a schema, in base64."""
    slices: list[Receipt]


class Success(_Record):
    """The content of `_SUCCESS`: who waits for it sees one complete version."""

    version: _Version
    rows: _Count
    scored: _Count
    rejected: _Count
    manifest: str = MANIFEST
    manifest_sha256: _Hash


def parse(kind: type[_R], content: bytes | None) -> _R | None:
    """Return a record from its JSON, or None where it is missing, cut short or of another kind."""
    if content is None:
        return None
    try:
        return kind.model_validate_json(content)
    except ValidationError:
        return None


def to_json(value: Any) -> bytes:
    """Return JSON bytes that are the same for the same value."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
