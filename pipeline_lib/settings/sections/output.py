"""Section `output`: the folder of the result, and its columns."""

from typing import Literal

from pydantic import Field, field_validator

from pipeline_lib.settings.sections.section import Section, without_secret

ROWS_PER_FILE = 1 << 20
"""About a million."""

Pooling = Literal["none", "first", "mean", "last"]


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

    _no_secret = field_validator("path")(without_secret)
