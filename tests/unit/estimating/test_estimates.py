"""Estimates follow tokens, actors and stages; the sample is spread over the input."""

from collections import Counter
from dataclasses import replace

import pytest

from pipeline_lib.estimating.estimate import Estimate
from pipeline_lib.estimating.figures import Interval
from pipeline_lib.estimating.from_past import estimate_from_past
from pipeline_lib.estimating.from_sample import ToDo, estimate_from
from pipeline_lib.estimating.kept import against, keep, kept_estimate
from pipeline_lib.estimating.past_nights import PastNight
from pipeline_lib.estimating.sampling.sample import FEWEST_ROWS, Measured, Sample, Unit, rows_of_a_unit, spread
from pipeline_lib.estimating.words import estimate_lines
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.planning.capacity import Allotment

TOGETHER = Allotment("cpu", 2, 1, 0, 1, 0, 0.1, 0, 0.1)
APART = Allotment("cuda", 2, 1, 1, 1, 3, 1, 2, 0.5)
START = Interval(8.0, 6.0, 10.0), "guessed"


def unit(rows: int, tokens_per_row: float, seconds_per_token: float = 0.001) -> Unit:
    """Return a unit that takes time for each token: a quarter of it for reading and tokenizing."""
    tokens = int(rows * tokens_per_row)
    seconds = tokens * seconds_per_token
    times = {"tokenizer": seconds * 0.25, "model": seconds * 0.7, "writer": seconds * 0.05}
    return Unit(rows, tokens, rows // 10, {"null_text": rows // 50}, times, 1_000 + 20 * rows, rows // 50 * 100)


def estimated(units: list[Unit], rows: int = 100_000, allotment: Allotment = TOGETHER, cores: int = 2) -> Estimate:
    """Return the estimate of a run over slices of 1,000 rows."""
    todo = ToDo(rows, rows // 1_000, allotment, cores)
    return estimate_from(Sample(units, 2, 3.0, 1_000), todo, START, "now")


def test_time_follows_the_tokens_of_all_sampled_rows_also_of_those_that_were_not_scored() -> None:
    scored = [unit(1_000, 50) for _ in range(4)]
    found = estimated(scored)
    assert found.scoring_seconds.value == pytest.approx(100_000 * 50 * 0.001 / 2)
    assert found.seconds.value == pytest.approx(2_500 + 8)
    longer = [replace(unit(1_000, 150), seconds={}) for _ in range(4)]
    both = estimated(scored + longer)
    assert both.tokens_per_row.value == 100
    assert both.scoring_seconds.value == pytest.approx(2 * found.scoring_seconds.value)
    assert both.rows_per_second.value == pytest.approx(20)
    assert both.rows_per_second.low < 20 < both.rows_per_second.high


def test_units_that_agree_leave_the_error_that_no_sample_shows_and_others_widen_it() -> None:
    even = estimated([unit(1_000, 50) for _ in range(6)]).scoring_seconds
    uneven = estimated([unit(1_000, 20 + 30 * number) for number in range(6)]).scoring_seconds
    assert even.high / even.value == pytest.approx(1.1)
    assert uneven.high / uneven.value > 1.3


def test_stages_apart_go_at_the_pace_of_the_slowest_and_share_the_cores_of_a_machine_without_gpus() -> None:
    units = [unit(1_000, 50) for _ in range(4)]
    tokens, total = 100_000 * 50, 100_000 * 50 * 0.001
    assert estimated(units, allotment=APART).scoring_seconds.value == pytest.approx(total * 0.7 / 2)
    one_tokenizer = replace(APART, tokenizer_actors=1, model_actors=10)
    assert estimated(units, allotment=one_tokenizer).scoring_seconds.value == pytest.approx(total * 0.25)
    on_cpus = replace(APART, device="cpu", gpus_per_model_actor=0, model_actors=10, tokenizer_actors=10)
    assert estimated(units, allotment=on_cpus, cores=4).scoring_seconds.value == pytest.approx(total / 4)
    assert tokens == estimated(units).tokens.value


def test_what_the_first_rows_of_each_process_take_longer_counts_once() -> None:
    units = [unit(1_000, 50) for _ in range(4)]
    warm = [unit(100, 50, 0.003), unit(1_000, 50, 0.0012)] * 2  # 100 * 50 * 0.002 + 1,000 * 50 * 0.0002 longer
    todo = ToDo(100_000, 100, TOGETHER, 2)
    found = estimate_from(Sample(units, 2, 3.0, 1_000, warm=warm), todo, START, "now")
    assert found.scoring_seconds.value == pytest.approx(estimated(units).scoring_seconds.value + 20)


def test_the_sample_of_several_processes_is_as_slow_as_the_slowest_to_start() -> None:
    units = [unit(10, 5)]
    parts = [Measured(4.0, 4.0, units, units, 900, 0.5, 100), Measured(9.0, 3.0, [], units * 2, 901, 0.75, 300)]
    assert Sample.of(parts) == Sample(units * 3, 2, 9.0, 901, 3.0, units, 0.625, 200)
    assert Sample.of(parts[:1]).stretch == 1.0


def test_rejects_truncation_and_bytes_are_those_of_the_sample_and_a_part_has_some_bytes_of_its_own() -> None:
    found = estimated([unit(1_000, 50) for _ in range(4)])
    assert found.rejected_share.value == pytest.approx(0.02)
    assert found.reject_codes == {"null_text": 2_000}
    assert found.truncated_share.value == pytest.approx(400 / 3_920)
    assert found.bytes is not None
    assert found.bytes.value == pytest.approx(100 * 1_000 + 100_000 * 20 + 2_000 * 100)


def test_the_bytes_of_joined_files_are_those_of_the_joined_sample_and_of_fewer_files() -> None:
    todo = ToDo(100_000, 100, TOGETHER, 2, files=5)
    sample = Sample([unit(1_000, 50)] * 4, 2, 3.0, 1_000, joined_share=0.5, joined_file_bytes=3_000)
    found = estimate_from(sample, todo, START, "now")
    assert found.bytes is not None
    # A slice has 21,000 bytes of parts and 2,000 of rejects.
    assert found.bytes.value == pytest.approx(100 * 23_000 * 0.5 + 5 * 3_000)


def test_a_sample_of_rejects_alone_is_extrapolated_by_rows() -> None:
    units = [Unit(100, 0, 0, {"null_text": 100}, {"tokenizer": 0.1, "model": 0.0, "writer": 0.1}) for _ in range(3)]
    found = estimated(units, rows=10_000)
    assert found.scoring_seconds.value == pytest.approx(10_000 * 0.002 / 2)
    assert found.rejected_share.value == 1.0
    assert not any(topic == "tokens" for topic, _ in estimate_lines(found))


def test_twice_the_actors_take_half_the_time_but_start_as_long() -> None:
    found = estimated([unit(1_000, 50) for _ in range(4)])
    assert found.hours_at(4).value == pytest.approx((2_500 / 2 + 8) / 3_600)
    told = found.to_json()
    assert told["hours_at_actors"]["2"]["value"] == pytest.approx(2_508 / 3_600, rel=1e-5)
    lines = dict(estimate_lines(found))
    assert lines["estimate"].startswith("41m48s (")
    assert "for 100,000 rows with 2 actors on CPU, from a sample of 4,000 rows" in lines["estimate"]
    assert "2: 41m48s (" in lines["actors"]


@pytest.mark.parametrize("slices", [1, 2, 7, 100, 5_000])
def test_the_first_slices_of_the_sample_are_spread_over_the_input(slices: int) -> None:
    chosen = spread([Slice(number, 0, 10) for number in range(slices)])
    numbers = [part.shard for part in chosen]
    assert len(set(numbers)) == len(numbers) >= min(slices, 500)
    for first in (4, 16, 64):
        if slices >= first:
            quarters = Counter(number * 4 // slices for number in numbers[:first])
            assert min(quarters[quarter] for quarter in range(4)) >= first // 8


def test_a_slow_model_gets_the_first_rows_of_slices_and_a_fast_one_whole_slices() -> None:
    part = Slice(0, 0, 1_024)
    assert rows_of_a_unit(part, 5_000, 2.5) == 1_024
    assert rows_of_a_unit(part, 100, 2.5) == 250
    assert rows_of_a_unit(part, 1, 2.5) == FEWEST_ROWS
    assert rows_of_a_unit(Slice(0, 0, 3), 1, 2.5) == 3


def test_without_a_sample_past_nights_tell() -> None:
    night = PastNight("a", 1_000, 30, 20, False, 2, 980, 20, {"null_text": 20}, 50_000, 98, 40_000)
    older = replace(night, seconds=46, scoring_seconds=22, tokens=None, bytes=None)
    found = estimate_from_past([night, older, night], ToDo(4_000, 4, replace(TOGETHER, model_actors=4), 4), "now")
    assert found.scoring_seconds.value == pytest.approx(4_000 / 4 * (20 + 22 + 20) * 2 / 3_000)
    assert (found.start_seconds.value, found.start_seconds.high) == (10, 24)
    assert found.tokens_per_row.value == 50
    assert found.truncated_share.value == pytest.approx(0.1)
    assert found.reject_codes == {"null_text": 80}
    assert found.bytes is not None
    assert found.bytes.value == 160_000
    assert found.basis == "3 past nights, no sample"


def test_a_run_is_set_against_its_estimate_only_if_it_had_the_same_rows_to_score() -> None:
    found = estimated([unit(1_000, 50) for _ in range(4)])
    keep("/some/where/", "0" * 16, found)
    kept = kept_estimate("/some/where", "0" * 16)
    assert kept == found.to_json()
    assert kept_estimate("/some/where", "1" * 16) is None
    assert against(kept, 100_000, 2_800, 2_790).startswith("41m48s estimated (")
    assert ", 46m40s taken (-10%); 40 rows/s estimated while scoring, 36 reached" in against(
        kept, 100_000, 2_800, 2_790
    )
    assert against(kept, 99_000, 2_800, 2_790) == against({}, 1, 1, 1) == ""
