"""What a run prints while it works: each phase when it begins, the first rows at once, then a line now and then."""

import io
import json
import time
from pathlib import Path

import pytest
from rich.console import Console

from pipeline_lib import pipeline
from pipeline_lib.errors import GateError
from pipeline_lib.execution.local_executor import LocalExecutor
from pipeline_lib.publishing.verifier import verify
from pipeline_lib.reporting.terminal.progress import Progress
from tests.conftest import SettingsMaker, write_parquet


def test_a_log_has_each_phase_as_it_begins_and_the_first_rows_at_once(
    tmp_path: Path, settings_for: SettingsMaker
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": [f"text {row}" for row in range(40)]})
    log = io.StringIO()
    pipeline.run(
        settings_for(tuning={"rows_per_slice": 10}), None, Progress(Console(file=log, width=80)), LocalExecutor()
    )
    lines = log.getvalue().splitlines()
    assert lines[0] == "start    listing the input and reading its columns"
    loading = lines.index("scoring  loading the checkpoint, no rows yet")
    assert lines[loading + 1].startswith("scoring  10 of 40 rows (25%)")
    assert lines[loading + 2] == "publish  joining slices into files, recounting rows, moving the files into place"


def test_a_phase_that_lasts_is_named_again(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(Console(width=80))
    with progress.heartbeat():
        progress.phase("waiting for a machine")
        progress._printed -= 10.0  # as if it had begun ten seconds ago
        progress._phase_began -= 10.0
        for _ in range(50):
            if "still" in (said := capsys.readouterr().out):
                break
            time.sleep(0.2)
    assert said.startswith("start    still waiting for a machine, 1")


def test_slices_that_were_computed_in_several_ways_are_noted(tmp_path: Path, settings_for: SettingsMaker) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": [f"text {row}" for row in range(20)] + [None] * 20})
    two_slices = settings_for(tuning={"rows_per_slice": 20})
    with pytest.raises(GateError):
        pipeline.run(two_slices, None, Progress(Console(quiet=True)), LocalExecutor())
    (receipt, other) = sorted((tmp_path / "out" / "_staging").glob("*/part-*.json"))
    for file, computed_by in ((receipt, "cpu torch 2.12"), (other, "cpu torch 2.13")):
        file.write_text(json.dumps({**json.loads(file.read_text()), "computed_by": computed_by}))
    log = io.StringIO()
    more_rejects = settings_for(tuning={"rows_per_slice": 20}, limits={"max_reject_rate": 0.5})
    outcome = pipeline.run(more_rejects, None, Progress(Console(file=log, width=200)), LocalExecutor())
    assert outcome.rows_this_run == 0
    assert verify(str(tmp_path / "out"))[0].computed_by == {"cpu torch 2.12": 1, "cpu torch 2.13": 1}
    assert "note     slices were computed in 2 ways; computed_by in the manifest" in log.getvalue()
