"""The DAG in a real Airflow, which has an environment of its own: it is parsed, and its task scores the sample."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import filelock
import pytest
import yaml

from pipeline_lib.nights.schedules.rendering import schedule_files
from pipeline_lib.nights.schedules.schedule import Schedule
from pipeline_lib.settings.settings_file import load_settings
from tests.helpers.clusters.schedules import DATED, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

HELPERS = ROOT / "tests" / "helpers" / "clusters"


@pytest.fixture(scope="module")
def airflow() -> Path:
    """The Python of an environment with Airflow, which is kept for the next tests."""
    requirements = HELPERS / "airflow-requirements.txt"
    folder = ROOT / "build" / "airflow"
    environment = folder / hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    python = environment / "bin" / "python"
    folder.mkdir(parents=True, exist_ok=True)
    uv = Path(sys.executable).with_name("uv")
    with filelock.FileLock(folder / "lock"):
        if (environment / "complete").exists():
            return python
        for command in (
            ["venv", "--clear", "--python", sys.executable, str(environment)],
            ["pip", "install", "--python", str(python), "--requirements", str(requirements)],
        ):
            made = subprocess.run(
                [str(uv), "--quiet", "--system-certs", "--cache-dir", str(folder / "cache"), *command],
                capture_output=True,
                text=True,
                check=False,
            )
            if made.returncode:
                pytest.skip(f"Airflow can't be installed: {' '.join(made.stderr.split())[-300:]}")
        (environment / "complete").touch()
    return python


def write_sample_dag(folder: Path, output: Path) -> None:
    """Write the DAG that scores a shard of the embedded sample with this installation."""
    config = folder.parent / "sample_nights.yaml"
    settings = yaml.safe_load((ROOT / "configs" / "sample.yaml").read_text(encoding="utf-8"))
    settings["input"]["path"] = "configs/sample/reviews/reviews-00000.parquet"
    settings["output"]["path"] = f"{output}/{{date}}"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    with contextlib.chdir(ROOT):
        chosen = Schedule(config=config, settings=load_settings(config), last=1)
        for name, text in schedule_files("airflow", chosen).items():
            (folder / name).write_text(text, encoding="utf-8")


def write_asked_dag(folder: Path) -> None:
    """Write a DAG whose command ends with the exit code that the variable `CODE` names, if it has its secret."""
    program = folder.parent / "with space" / ".venv" / "bin" / "nightscore"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\n[ "$SECRET" = "a b" ] && [ "$1" = backfill ] && exit "$CODE"\nexit 77\n')
    program.chmod(0o700)
    chosen = Schedule(config=Path("c.yaml"), settings=DATED, folder=str(program.parents[2]), name="asked")
    (text,) = schedule_files("airflow", chosen).values()
    (folder / "asked_dag.py").write_text(text, encoding="utf-8")
    damaged = text.replace(
        '"asked",\n    schedule=CronTriggerTimetable("30 3', '"damaged",\n    schedule=CronTriggerTimetable("30 25'
    )
    assert damaged != text
    (folder / "damaged_dag.py").write_text(damaged, encoding="utf-8")


def test_airflow_parses_the_dag_maps_each_exit_code_and_runs_the_task_over_the_sample(
    airflow: Path, tmp_path: Path
) -> None:
    dags, output, answers = tmp_path / "dags", tmp_path / "out", tmp_path / "answers.json"
    dags.mkdir()
    write_sample_dag(dags, output)
    write_asked_dag(dags)
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_ASKED": json.dumps({"conn_type": "generic", "extra": {"SECRET": "a b"}}),
    }
    commands = [
        ["-m", "airflow", "db", "migrate"],
        [str(HELPERS / "in_airflow.py"), str(dags), "asked", "sample-nights", str(answers)],
    ]
    for command in commands:
        done = subprocess.run(
            [str(airflow), *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(answers.read_text(encoding="utf-8"))
    assert said["dags"] == ["asked", "sample-nights"]
    assert list(said["errors"]) == ["damaged_dag.py"]
    after = {
        checks: {code: does for code, count, does in said["outcomes"] if count == checks} for checks in (0, 24)
    }
    ends = {
        0: "done",
        1: "AirflowException",
        2: "AirflowFailException",
        3: "AirflowFailException",
        4: "AirflowSkipException",
        6: "AirflowException",
    }
    assert after[0] == {**ends, 5: "check again"}
    assert after[24] == {**ends, 5: "AirflowSkipException"}
    assert said["state"] == "success", done.stdout
    (night,) = output.iterdir()
    success = json.loads((night / "_SUCCESS").read_text(encoding="utf-8"))
    assert success["rows"] > 0, success
