"""Section `limits`: what a result must fulfil to be published."""

import datetime as dt
from typing import Any

from pydantic import Field, field_validator

from pipeline_lib.settings.sections.section import Section


class LimitSettings(Section):
    """Gates: if one of these limits is exceeded, nothing is published."""

    max_reject_rate: float = Field(0.05, ge=0, le=1, description="Largest share of rows that may be rejected.")
    min_rows: int = Field(1, ge=0, description="Fewest rows the input may have. 0: an empty night is a success.")
    max_precision_drift: float | None = Field(
        None,
        ge=0,
        description="In half precision and int8: largest score difference from float32, on a sample. "
        "Null: only recorded.",
    )
    max_precision_flips: float | None = Field(
        None,
        ge=0,
        le=1,
        description="In half precision and int8: largest share of rows whose label is another than in float32, "
        "on the same sample, such as 0.02. Null: only recorded.",
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
