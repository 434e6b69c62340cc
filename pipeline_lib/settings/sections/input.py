"""Section `input`: the shards and their columns; and `input.csv`."""

import codecs
from typing import Literal

from pydantic import Field, field_validator, model_validator

from pipeline_lib.settings.sections.section import Section, values_as_text, without_secret

# Line ends, quotes and delimiters must be the same bytes as in ASCII, else a shard could not be cut into slices.
_STRUCTURE = bytes(range(128)).translate(None, b"\\~")
# In these encodings the meaning of a byte depends on the bytes before it.
_STATEFUL_ENCODINGS = ("iso2022", "hz", "utf-7")

ColumnType = Literal["string", "int64", "float64", "bool", "date32", "timestamp", "timestamp_utc"]


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
            without_secret(path)
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
