"""Run by Airflow's own Python: parses the DAGs of a folder, asks a task what it does, and runs a DAG.

`python in_airflow.py FOLDER ASKED RUN ANSWERS` writes into the JSON file ANSWERS the errors of parsing, what the
task of the DAG ASKED does for each exit code of its command (which ends with the code of the variable `CODE`), and
the state in which a run of the DAG RUN ends.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import DagBag


def what_it_does(task: Any, code: int, checks: int) -> str:
    """Return what the task does when its command ends with this code, after this many checks."""
    os.environ["CODE"] = str(code)
    try:
        return "done" if task.poke({"task_reschedule_count": checks}) else "check again"
    except Exception as error:  # noqa: BLE001 - its kind is the answer
        return type(error).__name__


def main(folder: str, asked: str, run: str, answers: str) -> None:
    """Write the answers."""
    bag = DagBag(folder)
    dag = bag.dags[asked]
    (task,) = dag.tasks
    said = {
        "errors": {Path(path).name: error for path, error in bag.import_errors.items()},
        "dags": sorted(bag.dags),
        "state": str(bag.dags[run].test().state),
        "outcomes": [[code, checks, what_it_does(task, code, checks)] for code in range(7) for checks in (0, 24)],
    }
    Path(answers).write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
