"""Airflow 3: every night, score what is missing of the last 7 nights.

Made by `nightscore schedule --for airflow`. To install it, copy it into Airflow's folder of DAGs. It needs
`apache-airflow-providers-standard`, and Nightscore on the machine of the worker. Secrets are environment
variables in the extras of the connection that is named below.
"""

import datetime as dt
import os

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import DAG, BaseSensorOperator, Connection, Context, CronTriggerTimetable
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSkipException,
)

COMMAND = [
    "/opt/nightscore/.venv/bin/nightscore",
    "backfill",
    "/opt/nightscore/configs/reviews_nightly.yaml",
    "--only",
    "missing",
    "--last",
    "7",
    "--timezone",
    "UTC",
]
FOLDER = "/opt/nightscore"
CONNECTION = "reviews_nightly"

SECONDS_BETWEEN_CHECKS = 15 * 60
MOST_CHECKS = 24
"""Then the task is skipped, and the next night looks again."""


class Backfill(BaseSensorOperator):
    """Runs the command, and waits while it says that the input of a night is not there yet."""

    def __init__(self, **options: object) -> None:
        super().__init__(poke_interval=SECONDS_BETWEEN_CHECKS, mode="reschedule", **options)
        self.hook = SubprocessHook()

    def poke(self, context: Context) -> bool:
        """Run the command once; exit codes 0 and 5 are answers, the others end the task."""
        code = self.hook.run_command(COMMAND, env={**os.environ, **secrets()}, cwd=FOLDER).exit_code
        if code == 0:
            return True
        if code == 5 and context.get("task_reschedule_count", 0) < MOST_CHECKS:
            return False  # checked again later; no worker is kept until then
        if code in {4, 5}:
            raise AirflowSkipException({4: "another run is working on it", 5: "the input is not there yet"}[code])
        if code in {2, 3}:  # trying again would not help
            raise AirflowFailException({2: "settings or input are wrong", 3: "a limit was passed"}[code])
        raise AirflowException(f"exit code {code}: a fault that may pass, or the run was stopped")

    def on_kill(self) -> None:
        """Stop the run, which ends within seconds; the next one goes on where it stopped."""
        self.hook.send_sigterm()


def secrets() -> dict[str, str]:
    """Return the environment variables that the connection holds."""
    try:
        return {name: str(value) for name, value in Connection.get(CONNECTION).extra_dejson.items()}
    except AirflowNotFoundException:
        return {}


with DAG(
    "reviews-nightly",
    schedule=CronTriggerTimetable("30 3 * * *", timezone="UTC"),
    start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    catchup=False,  # the command itself looks at the nights before
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": dt.timedelta(minutes=15)},
    tags=["nightscore"],
):
    Backfill(task_id="backfill")
