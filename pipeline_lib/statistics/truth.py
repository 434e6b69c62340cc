"""True labels of rows, where the input has a column with them: which value stands for which label."""

import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from pipeline_lib.errors import SettingsError, did_you_mean, listed

NO_TRUTH = -1
"""The row has no truth: the value is null, blank, or mapped to null."""

UNKNOWN = -2
"""The value stands for no label."""

_NUMBER = re.compile(r"\d+")


class TruthLabels:
    """Which label each value of the truth column stands for.

    A value of the mapping is what the mapping says. Another one is the name of a label, in upper or lower case,
    or a number: of the label with this number in its name if every label has a different one (as `3 stars` or
    `LABEL_3`), else of the label at this position, counted from 0.

    Args:
        labels: names of the model's labels by index; of equal names the first index stands for all.
        mapping: labels by value, as text; null for values that are no truth, such as 3 stars of 5.

    Raises:
        SettingsError: the mapping names a label that the model does not have.
    """

    def __init__(self, labels: Sequence[str], mapping: Mapping[str, str | None] | None = None) -> None:
        self._index = {label: index for index, label in reversed(list(enumerate(labels)))}
        folded = {label.casefold(): index for label, index in self._index.items()}
        # Two labels that differ in case only can't be told apart without it.
        self._folded = folded if len(folded) == len(self._index) else {}
        self._numbered = _numbers(labels)
        self._mapping: dict[str, int] = {}
        for value, label in (mapping or {}).items():
            if label is not None and label not in self._index:
                raise SettingsError(
                    f"the truth of {value!r} is to be {label!r}, which is no label of the model"
                    f"{did_you_mean(label, labels)}; its labels are {listed(self._index)}"
                )
            self._mapping[_as_text(value)] = NO_TRUTH if label is None else self._index[label]

    def indices(self, values: Iterable[object]) -> NDArray[np.int64]:
        """Return the index of the label that each value stands for, `NO_TRUTH` or `UNKNOWN`; of shape [values].

        Args:
            values: text, numbers, booleans or None.
        """
        known: dict[object, int] = {}
        return np.array([known[v] if v in known else known.setdefault(v, self._of(v)) for v in values], np.int64)

    def _of(self, value: object) -> int:
        text = "" if value is None else _as_text(value)
        if text in self._mapping:
            return self._mapping[text]
        if text in {"", "nan"}:
            return NO_TRUTH
        if text in self._index:
            return self._index[text]
        if text.casefold() in self._folded:
            return self._folded[text.casefold()]
        return self._numbered.get(text, UNKNOWN)


def _as_text(value: object) -> str:
    """Return a value as text: 4, 4.0, "4.0" and " 4" are all `4`; True and False are 1 and 0."""
    text = str(float(value)) if isinstance(value, Real | np.bool_) else str(value).strip()
    whole, _, fraction = text.partition(".")
    return whole if _NUMBER.fullmatch(whole.removeprefix("-")) and not fraction.strip("0") else text


def _numbers(labels: Sequence[str]) -> dict[str, int]:
    named = [set(_NUMBER.findall(label)) for label in labels]
    if labels and all(len(numbers) == 1 for numbers in named):
        by_number = {str(int(numbers.pop())): index for index, numbers in enumerate(named)}
        if len(by_number) == len(labels):
            return by_number
    return {str(index): index for index in range(len(labels))}
