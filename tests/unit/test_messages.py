"""Numbers as people read them: the examples in the docstrings, and the edges."""

import doctest

import pytest

from pipeline_lib import errors, masking, messages
from pipeline_lib.inputs import column_names
from pipeline_lib.machine import terminal
from pipeline_lib.planning import capacity


@pytest.mark.parametrize("module", [capacity, column_names, errors, masking, messages, terminal])
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize(("seconds", "said"), [(0, "0.0s"), (59.9, "59.9s"), (60, "1m00s"), (3599.6, "1h00m")])
def test_durations_read_well_at_their_edges(seconds: float, said: str) -> None:
    assert messages.duration(seconds) == said


@pytest.mark.parametrize(("number", "said"), [(0, "0 B"), (2048, "2.0 KiB"), (5 << 40, "5120.0 GiB")])
def test_sizes_have_a_unit(number: float, said: str) -> None:
    assert messages.size(number) == said
