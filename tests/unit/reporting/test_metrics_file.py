"""The file of metrics: what it keeps, what it refuses, and that it is always whole."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.errors import SettingsError
from pipeline_lib.reporting.metrics_file import MetricsFile
from pipeline_lib.reporting.outcome import Outcome
from tests.helpers.watching.exposition import samples_in


def outcome(status: str = "PUBLISHED", exit_code: int = 0, rows: int = 100) -> Outcome:
    return Outcome(
        status=status,
        version="0123456789abcdef" if rows else "",
        date=None,
        rows=rows,
        scored=rows - rows // 20,
        rejected=rows // 20,
        rows_this_run=rows,
        seconds=4.0,
        peak_bytes={"driver": [1000], "model": [2000, 3000]} if rows else {},
        exit_code=exit_code,
    )


def after(path: Path, *outcomes: Outcome) -> dict[str, float]:
    """Return the values by metric after some runs; of the status the one that is 1."""
    for each in outcomes:
        file = MetricsFile(path, "reviews")
        file.begin()
        file.ended(each)
    values = {}
    for name, samples in samples_in(path.read_text()).items():
        for sample in samples:
            assert sample.labels["scoring_job"] == "reviews"
            if "status" not in sample.labels:
                values[name] = sample.value
            elif sample.value:
                values[sample.labels["status"]] = 1.0
    return values


def test_a_run_leaves_its_exit_code_status_time_and_figures(tmp_path: Path) -> None:
    values = after(tmp_path / "a.prom", outcome())
    times = {name for name in values if "timestamp" in name}
    assert times == {f"nightscore_{name}_timestamp_seconds" for name in ("run_start", "last_run", "last_success")}
    assert values["nightscore_run_start_timestamp_seconds"] <= values["nightscore_last_run_timestamp_seconds"]
    figures = {"duration_seconds": 4, "rows": 100, "scored_rows": 95, "rejected_rows": 5, "rows_per_second": 25}
    figures["peak_memory_bytes"] = 6000
    assert {name: value for name, value in values.items() if name not in times} == {
        **{
            f"nightscore_last_{which}_{name}": value
            for which in ("run", "success")
            for name, value in figures.items()
        },
        "nightscore_last_run_exit_code": 0,
        "PUBLISHED": 1,
    }


@pytest.mark.parametrize("exit_code", [1, 2, 3, 4, 5])
def test_a_run_that_fails_does_not_lose_the_last_success(tmp_path: Path, exit_code: int) -> None:
    path = tmp_path / "a.prom"
    good = after(path, outcome())
    bad = after(path, outcome("FAILED", exit_code, rows=7), outcome("FAILED", exit_code, rows=0))
    assert {name: value for name, value in bad.items() if "success" in name} == {
        name: value for name, value in good.items() if "success" in name
    }
    assert bad["nightscore_last_run_exit_code"] == exit_code
    assert "FAILED" in bad
    assert "PUBLISHED" not in bad
    # A run that ended before its plan knows no rows, and must not show those of the run before it.
    assert "nightscore_last_run_rows" not in bad
    assert "nightscore_last_run_peak_memory_bytes" not in bad
    assert bad["nightscore_last_run_timestamp_seconds"] > good["nightscore_last_run_timestamp_seconds"]


def test_while_a_run_works_its_start_is_later_than_the_last_end_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.prom"
    before = after(path, outcome())
    MetricsFile(path, "reviews").begin()
    during = after(path)
    start = "nightscore_run_start_timestamp_seconds"
    assert during[start] > during["nightscore_last_run_timestamp_seconds"]
    assert {**during, start: 0} == {**before, start: 0}


def test_only_the_first_end_of_a_run_counts(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "a.prom", "reviews")
    file.begin()
    file.ended(outcome())
    file.ended(outcome("STOPPED", 1))
    assert after(tmp_path / "a.prom")["nightscore_last_run_exit_code"] == 0


def test_everybody_may_read_the_file_nothing_else_is_left_and_it_has_no_time_stamps(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        after(tmp_path / "a.prom", outcome(), outcome())
    finally:
        os.umask(before)
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    samples = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert samples
    assert all(len(line.rpartition("}")[2].split()) == 1 for line in samples)


def test_a_path_where_no_file_of_metrics_can_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("model:\n  name: x\n")
    (tmp_path / "other.prom").write_text("node_load1 0.5\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "sub").mkdir()
    refused = {
        "job.yaml": "something else than Nightscore's metrics",
        "other.prom": "something else than Nightscore's metrics",
        "binary": "something else than Nightscore's metrics",
        "sub": "it is a folder",
        "none/a.prom": f"there is no folder '{tmp_path}/none'",
        "job.yaml/a.prom": "it can't be read: Not a directory",
        f"{'x' * 250}/a.prom": "there is no folder",
        "x" * 300: "it can't be read: File name too long",
    }
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for name, why in refused.items():
        with pytest.raises(SettingsError) as error:
            MetricsFile(tmp_path / name, "reviews").begin()
        assert str(error.value).startswith(f"--metrics-file '{tmp_path}/{name}': ")
        assert why in str(error.value)
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


@given(st.binary() | st.text().map(str.encode) | st.text(alphabet='nightscore_a{}="\\ 1.\n#').map(str.encode))
def test_whatever_is_in_the_file_is_taken_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.prom"
    path.write_bytes(content)
    try:
        MetricsFile(path, "reviews").begin()
    except SettingsError:
        assert path.read_bytes() == content
    else:
        assert "nightscore_run_start_timestamp_seconds" in samples_in(path.read_text())


def test_a_job_of_any_name_is_a_label(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "a.prom", 'a "b" \\ {x="1"} é')
    file.begin()
    (sample,) = samples_in((tmp_path / "a.prom").read_text())["nightscore_run_start_timestamp_seconds"]
    assert sample.labels == {"scoring_job": 'a "b" \\ {x="1"} é'}
