"""Rows that several plans need are one slice, and each plan gets exactly its own slices back."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.execution.nights.shared_slices import shared_slices
from pipeline_lib.inputs.shards import Shard, Slice
from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.planner import make_plan
from pipeline_lib.settings.settings_file import parse_settings
from tests.conftest import write_parquet

SHARDS, ROWS, PER_SLICE = 3, 40, 8


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Plan:
    folder = tmp_path_factory.mktemp("shared_slices")
    for number in range(SHARDS):
        write_parquet(folder / "in" / f"{number}.parquet", {"text": ["good"] * ROWS})
    sections = {
        "model": {"name": str(checkpoint)},
        "input": {"path": str(folder / "in")},
        "output": {"path": str(folder / "out")},
        "tuning": {"rows_per_slice": PER_SLICE},
    }
    return make_plan(discover(parse_settings(sections)))


@st.composite
def needs(draw: st.DrawFn) -> tuple[list[list[int]], list[set[tuple[int, int]]], list[int]]:
    """Draw for some plans the numbers of their shards, the slices that they need, and which input each reads."""
    plans = draw(st.integers(1, 5))
    places = st.tuples(st.integers(0, SHARDS - 1), st.sampled_from(range(0, ROWS, PER_SLICE)))
    numbers = [draw(st.permutations(range(SHARDS))) for _ in range(plans)]
    return numbers, [draw(st.sets(places)) for _ in range(plans)], [draw(st.integers(0, 1)) for _ in range(plans)]


@given(drawn=needs())
def test_each_plan_gets_its_slices_and_no_rows_are_read_twice_for_one_input(
    plan: Plan, drawn: tuple[list[list[int]], list[set[tuple[int, int]]], list[int]]
) -> None:
    numbers, places, inputs = drawn
    plans, todo = [], {}
    for night, (own, needed, given_input) in enumerate(zip(numbers, places, inputs, strict=True)):
        shards = tuple(replace(shard, number=own[at]) for at, shard in enumerate(plan.shards))
        given_settings = plan.settings.input.model_copy(update={"blank_texts": ("score", "reject")[given_input]})
        settings = plan.settings.model_copy(update={"input": given_settings})
        plans.append(replace(plan, shards=shards, settings=settings))
        if needed:
            todo[night] = [Slice(own[at], first, PER_SLICE, night=night) for at, first in sorted(needed)]
    found = shared_slices(todo, plans)
    taken = Counter(
        (number, place_of(plans, part)) for parts in found.values() for part in parts for number in part.plans
    )
    wanted = {(night, (plan.shards[at].path, first)) for night in todo for at, first in places[night]}
    assert taken == Counter(wanted)
    read = Counter((inputs[part.night], place_of(plans, part)) for parts in found.values() for part in parts)
    assert set(read.values()) <= {1}
    assert all(part.night == night == min(part.plans) for night, parts in found.items() for part in parts)


def place_of(plans: list[Plan], part: Slice) -> tuple[str, int]:
    shard: Shard = plans[part.night].shard(part.shard)
    return shard.path, part.first_row


@given(plans=st.sets(st.integers(1, 62)))
def test_a_slice_names_all_its_plans(plans: set[int]) -> None:
    also = sum(1 << number for number in plans)
    assert Slice(0, 0, 1, night=5, also=also).plans == [5, *(5 + number for number in sorted(plans))]
    assert also < 1 << 63, "Arrow has it as a signed number of 64 bits"
