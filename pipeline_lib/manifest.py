"""The records beside the data: what a slice left, what was published, and the mark that it is complete."""

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline_lib import storage

MANIFEST = "_manifest.json"
SUCCESS = "_SUCCESS"
METRICS = "_metrics.json"
REJECTS = "_rejects"
STAGING = "_staging"
RUNS = "_runs"
LEASE = "_lease.json"
ASIDE = "_aside"

# In the metadata of every Parquet file of ours.
VERSION_KEY = "nightscore.version"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def to_bytes(self) -> bytes:
        """Return JSON bytes that are the same for the same record."""
        return storage.to_json(self.model_dump(mode="json"))


_R = TypeVar("_R", bound=_Record)


class FileRecord(_Record):
    """A file that was written, and how to tell that it is still the same."""

    file: str
    """Path below the output folder."""
    rows: int
    bytes: int
    sha256: str


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


class Receipt(_Record):
    """What one slice left: written after its files, so that its existence says they are whole."""

    version: str
    shard: int
    path: str
    size: int
    content: str
    """The shard's ETag or SHA-256."""
    first_row: int
    rows: int
    part: FileRecord
    rejects: FileRecord | None
    drift: Drift | None = None
    labels: dict[str, int] | None = None
    """Scored rows by label; receipts of earlier releases do not have it."""
    reject_codes: dict[str, int] | None = None
    """Rejected rows by reason; likewise."""

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

    number: int
    path: str
    size: int
    content: str
    """Its ETag or SHA-256."""
    rows: int
    scored: int
    rejected: int


class Manifest(_Record):
    """Everything that is published, and what it was made with. It holds no clock time and no run id."""

    format: Literal[1] = 1
    version: str
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
    shards: list[ShardRecord]
    slices: list[Receipt]


class Success(_Record):
    """The content of `_SUCCESS`: who waits for it sees one complete version."""

    version: str
    rows: int
    scored: int
    rejected: int
    manifest: str = MANIFEST
    manifest_sha256: str


def parse(kind: type[_R], content: bytes | None) -> _R | None:
    """Return a record from its JSON, or None where it is missing, cut short or of another kind."""
    if content is None:
        return None
    try:
        return kind.model_validate_json(content)
    except ValidationError:
        return None
