"""Section `model`: the checkpoint, and how its logits become scores."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from pipeline_lib.settings.sections.section import Section, without_secret

WindowJoin = Literal["mean", "max"]


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
    precision: Literal["float32", "bfloat16", "float16", "int8", "auto"] = Field(
        "float32",
        description="Number format of weights and arithmetic. auto: the checkpoint's own. "
        "int8: on CPUs, within limits.",
    )
    calibration: str | None = Field(
        None,
        min_length=1,
        description="For precision: int8: file, folder or glob with a sample of the texts, in input.text_column. "
        "The first 128 of them decide the scales, and are part of the version.",
    )
    engine: Literal["auto", "torch", "openvino"] = Field(
        "auto",
        description="What computes on CPUs. auto: the faster one on this processor, if it answers as PyTorch does.",
    )
    activation: Literal["auto", "softmax", "sigmoid", "none"] = Field(
        "auto", description="Logits to scores. auto: by problem_type, as pipeline() does."
    )
    allow_pickle: bool = Field(
        default=False, description="Load weights from pickle files (.bin), which can run code."
    )
    allow_remote_code: bool = Field(default=False, description="Run Python code that comes with the checkpoint.")

    _no_secret = field_validator("name", "calibration")(without_secret)

    @model_validator(mode="after")
    def _windows_where_they_are_set(self) -> "ModelSettings":
        for name in ("window_stride", "window_join"):
            if self.long_texts == "truncate" and getattr(self, name) is not None:
                raise ValueError(f"{name} is for long_texts: windows, and long_texts is truncate")
        if self.long_texts == "windows" and self.count_tokens == "limit":
            raise ValueError("count_tokens: limit is for long_texts: truncate, and long_texts is windows")
        return self

    @model_validator(mode="after")
    def _what_int8_needs(self) -> "ModelSettings":
        if self.precision == "int8" and self.engine == "torch":
            raise ValueError("precision: int8 is computed by OpenVINO, and engine is torch; allowed is auto")
        if self.precision == "int8" and self.calibration is None:
            raise ValueError("precision: int8 needs calibration, a path of texts such as those that are scored")
        if self.precision != "int8" and self.calibration is not None:
            raise ValueError(f"calibration is for precision: int8, and precision is {self.precision}")
        return self
