"""The job's settings: their names, allowed values and defaults."""

import codecs
import datetime as dt
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline_lib.errors import SettingsError
from pipeline_lib.masking import has_secret, shown

# Line ends, quotes and delimiters must be the same bytes as in ASCII, else a shard could not be cut into slices.
_STRUCTURE = bytes(range(128)).translate(None, b"\\~")
# In these encodings the meaning of a byte depends on the bytes before it.
_STATEFUL_ENCODINGS = ("iso2022", "hz", "utf-7")

ROWS_PER_FILE = 1 << 20
"""About a million."""

Device = Literal["cpu", "cuda"]
WindowJoin = Literal["mean", "max"]
Pooling = Literal["none", "first", "mean", "last"]
ColumnType = Literal["string", "int64", "float64", "bool", "date32", "timestamp", "timestamp_utc"]


class Section(BaseModel):
    """A part of a settings file: keys that are not known are errors, and values are of exactly their type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


def _without_secret(url: str) -> str:
    """Refuse a URL that holds a password: paths are written to logs, receipts and manifests."""
    if has_secret(url):
        raise ValueError(
            f"{shown(url)} has a password, token or signature in it; give it by the environment or the store's own "
            "configuration instead"
        )
    return url


def values_as_text(value: Any) -> Any:
    """Let stars and other numbers that stand for labels be written without quotes, as YAML reads them."""
    if not isinstance(value, dict):
        return value
    for key in value:
        if key is None or isinstance(key, bool):
            raise ValueError(f"YAML reads a key as {key}; write it in quotes, such as 'yes', or 1 for true")
    return {str(key): label for key, label in value.items()}


class ModelSettings(Section):
    """The checkpoint that scores the texts, and how its logits become scores."""

    name: str = Field(min_length=1, description="Hub id, local folder, or URL of a folder (s3://...).")
    revision: str | None = Field(
        None, description="Branch, tag or commit of a hub model; resolved to a commit and recorded."
    )
    max_tokens: int | None = Field(
        None, ge=1, description="Longest text in tokens. Null: the tightest of tokenizer and position table."
    )
    long_texts: Literal["truncate", "windows"] = Field(
        "truncate", description="Texts of more tokens: cut off at the limit, or scored in windows of it."
    )
    window_stride: int | None = Field(
        None, ge=0, description="Tokens that neighbouring windows share. Null: a quarter of a window's text."
    )
    window_join: WindowJoin | None = Field(
        None,
        description="Logits of the windows to those of the row: mean by tokens, or max of each. Null: mean.",
    )
    count_tokens: Literal["exact", "limit"] = Field(
        "exact", description="n_tokens of a longer text: all its tokens, or max_tokens + 1, which is faster."
    )
    precision: Literal["float32", "bfloat16", "float16", "auto"] = Field(
        "float32", description="Number format of weights and arithmetic. auto: the checkpoint's own."
    )
    engine: Literal["auto", "torch", "openvino"] = Field(
        "auto", description="What computes on CPUs. auto: OpenVINO where it is installed, faster and right."
    )
    activation: Literal["auto", "softmax", "sigmoid", "none"] = Field(
        "auto", description="Logits to scores. auto: by problem_type, as pipeline() does."
    )
    allow_pickle: bool = Field(
        default=False, description="Load weights from pickle files (.bin), which can run code."
    )
    allow_remote_code: bool = Field(default=False, description="Run Python code that comes with the checkpoint.")

    _no_secret = field_validator("name")(_without_secret)

    @model_validator(mode="after")
    def _windows_where_they_are_set(self) -> "ModelSettings":
        for name in ("window_stride", "window_join"):
            if self.long_texts == "truncate" and getattr(self, name) is not None:
                raise ValueError(f"{name} is for long_texts: windows, and long_texts is truncate")
        if self.long_texts == "windows" and self.count_tokens == "limit":
            raise ValueError("count_tokens: limit is for long_texts: truncate, and long_texts is windows")
        return self


class CsvSettings(Section):
    """How CSV and TSV shards are read; not used for Parquet."""

    encoding: str = Field("utf-8", description="Encoding of the files; a byte-order mark is dropped.")
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="Null: comma for .csv, tab for .tsv."
    )
    column_types: dict[str, ColumnType] = Field(
        default_factory=dict,
        description="Types of kept columns. A column not named here stays the exact text of the file.",
    )

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            name = codecs.lookup(value).name
            as_ascii = _STRUCTURE.decode(name) == _STRUCTURE.decode("ascii")
        except LookupError:
            raise ValueError("no such encoding; 'utf-8', 'latin-1' and 'cp1252' are usual") from None
        except UnicodeError:
            as_ascii = False
        if not as_ascii or name.startswith(_STATEFUL_ENCODINGS):
            raise ValueError("its line ends are not single bytes of ASCII; convert the files to 'utf-8'")
        return name

    @field_validator("delimiter")
    @classmethod
    def _no_structure(cls, value: str | None) -> str | None:
        if value in {'"', "\n", "\r"}:
            raise ValueError("a quote or a line end can't be the delimiter")
        return value


class InputSettings(Section):
    """The shards to read, and their columns."""

    path: str | list[str] = Field(
        description="File, folder, glob, or a list of these: .parquet, .parq, .pq, .csv, .tsv, .jsonl, .ndjson, "
        "these four with .gz, .bz2 or .zst. {date} stands for --date."
    )
    text_column: str = Field("text", min_length=1, description="Column with the text to score.")
    text_pair_column: str | None = Field(None, description="Column with the second text of a pair.")
    keep_columns: list[str] | None = Field(
        None, description="Columns that pass through to the output. Null: every column but the text."
    )
    partition_columns: str | list[str] | None = Field(
        None,
        description="key=value folders of the shards' paths to keep as columns of text: a list of keys, or all. "
        "Null: none.",
    )
    blank_texts: Literal["score", "reject"] = Field(
        "score", description="Score or reject texts that are empty or white space. score: as pipeline() does."
    )
    truth_column: str | None = Field(
        None, min_length=1, description="Column with the true labels, to count how many scores are right."
    )
    truth_labels: dict[str, str | None] = Field(
        default_factory=dict,
        description="Labels by value of the truth column, where it has other values than labels; null: no truth.",
    )
    csv: CsvSettings = CsvSettings()

    @field_validator("path")
    @classmethod
    def _some_path(cls, value: str | list[str]) -> str | list[str]:
        if not value or (isinstance(value, list) and "" in value):
            raise ValueError("an empty path")
        for path in [value] if isinstance(value, str) else value:
            _without_secret(path)
        return value

    @field_validator("partition_columns")
    @classmethod
    def _all_or_names(cls, value: str | list[str] | None) -> str | list[str] | None:
        if isinstance(value, str) and value != "all":
            raise ValueError(f"expected all, or a list of names such as [{value}]")
        return value

    _values_as_text = field_validator("truth_labels", mode="before")(values_as_text)

    @model_validator(mode="after")
    def _column_of_labels(self) -> "InputSettings":
        if self.truth_labels and not self.truth_column:
            raise ValueError("truth_labels needs truth_column, the column that has these values")
        return self

    @property
    def paths(self) -> list[str]:
        """The paths as a list, also if the setting is a single path."""
        return [self.path] if isinstance(self.path, str) else self.path


class OutputSettings(Section):
    """The folder of the result, and its columns besides label and score."""

    path: str = Field(min_length=1, description="Folder to publish in. {date} stands for --date.")
    scores: Literal["top", "all"] = Field(
        "top", description="top: the best label and its score. all: also a list of every label's score."
    )
    logits: bool = Field(default=False, description="Add a list of the model's raw logits.")
    column_prefix: str = Field(
        "",
        pattern=r"^([A-Za-z][A-Za-z0-9_]*)?$",
        max_length=33,
        description="What the names of the added columns begin with, such as sentiment_. Empty: label, score, ...",
    )
    embedding: Pooling = Field(
        "none",
        description="Add the last hidden state: of the first or last token, or the mean over all. none: no column.",
    )
    rejected_texts: bool = Field(
        default=False, description="Add the text to the rejects, which otherwise have the reason alone."
    )
    rows_per_file: int = Field(
        ROWS_PER_FILE,
        ge=1,
        description="Most rows of a shard in one file, in whole slices, of which a file has at least one.",
    )

    _no_secret = field_validator("path")(_without_secret)


class LimitSettings(Section):
    """Gates: if one of these limits is exceeded, nothing is published."""

    max_reject_rate: float = Field(0.05, ge=0, le=1, description="Largest share of rows that may be rejected.")
    min_rows: int = Field(1, ge=0, description="Fewest rows the input may have. 0: an empty night is a success.")
    max_precision_drift: float | None = Field(
        None,
        ge=0,
        description="In half precision: largest score difference from float32, on a sample. Null: only recorded.",
    )
    max_score_drift: float | None = Field(
        None,
        gt=0,
        description="Largest certain drift of the scores from earlier nights (population stability index), "
        "such as 0.2. Null: only warned of.",
    )
    max_label_drift: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Largest certain change of a label's share from earlier nights, such as 0.05. "
        "Null: only warned of.",
    )
    reference_date: dt.date | None = Field(
        None, description="A night to compare every night with, besides the last ones."
    )

    @field_validator("reference_date", mode="before")
    @classmethod
    def _as_date(cls, value: Any) -> Any:
        """Accept a date in quotes too."""
        if not isinstance(value, str):
            return value
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            raise ValueError("expected a date such as 2026-11-22") from None


class TuningSettings(Section):
    """Settings for speed and memory that are rarely needed; null means the measured default."""

    rows_per_slice: int = Field(1024, ge=1, description="Rows in a slice: the unit of work and of resume.")
    tokens_per_batch: int | None = Field(
        None, ge=1, description="Token budget of a micro-batch, padding included. Null: by device."
    )
    model_actors: int | None = Field(None, ge=1, description="Null: one per GPU, or one per CPU without GPUs.")
    cpus_per_model_actor: int | None = Field(None, ge=1, description="CPU threads of a model actor. Null: 1.")
    gpus_per_model_actor: float | None = Field(
        None, ge=0, description="Null: 1 where the cluster has GPUs, else 0. 0 keeps the model on CPUs."
    )
    tokenizer_actors: int | None = Field(
        None,
        ge=1,
        description="Null: enough that a GPU never waits; on CPUs each model actor tokenizes for itself.",
    )
    reader_actors: int | None = Field(
        None,
        ge=0,
        description="Processes that only read, for all others, so that each byte is decoded once. "
        "Null: a few for a large input. 0: each process reads its own slices.",
    )


class Settings(Section):
    """All settings of one job, validated."""

    model: ModelSettings
    input: InputSettings
    output: OutputSettings
    limits: LimitSettings = LimitSettings()
    tuning: TuningSettings = TuningSettings()

    @model_validator(mode="after")
    def _distinct_columns(self) -> "Settings":
        if self.input.text_pair_column == self.input.text_column:
            raise ValueError("input.text_pair_column is the same column as input.text_column")
        return self

    @model_validator(mode="after")
    def _windows_of_single_texts(self) -> "Settings":
        if self.model.long_texts == "windows" and self.input.text_pair_column:
            raise ValueError(
                "model.long_texts: windows are for single texts, and input.text_pair_column names a second one; "
                "allowed is truncate"
            )
        return self

    @model_validator(mode="after")
    def _reference_of_nights(self) -> "Settings":
        if self.limits.reference_date and "{date}" not in self.output.path:
            raise ValueError("limits.reference_date is a night, but output.path has no {date} in it")
        return self

    def on_date(self, date: dt.date | None) -> "Settings":
        """Return these settings with `{date}` filled in as YYYY-MM-DD.

        Raises:
            SettingsError: a path has `{date}` and no date was given, or a date was given and no path has `{date}`.
        """
        templates = [*self.input.paths, self.output.path]
        dated = any("{date}" in path for path in templates)
        if dated and date is None:
            raise SettingsError("the paths contain {date}; give the day with --date YYYY-MM-DD")
        if date is None:
            return self
        if not dated:
            raise SettingsError("--date was given, but neither input.path nor output.path contains {date}")
        filled = [path.replace("{date}", date.isoformat()) for path in templates]
        return self.model_copy(
            update={
                "input": self.input.model_copy(update={"path": filled[:-1]}),
                "output": self.output.model_copy(update={"path": filled[-1]}),
            }
        )
