"""Every kind of bad input, and what each gets: a score, a reject code, or an exit code with one clear line.

python -m tests.bad_inputs.bad_inputs    gives each to the program and prints a table of what it got
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    # Before the libraries are imported, which look at these only then.
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": tempfile.mkdtemp(), "RAY_USAGE_STATS_ENABLED": "0"}

from tests.bad_inputs.bad_configurations import CONFIGURATIONS
from tests.bad_inputs.bad_csv import CSV
from tests.bad_inputs.bad_json import JSON
from tests.bad_inputs.bad_model_names import MODEL_NAMES
from tests.bad_inputs.bad_model_sets import MODEL_SETS
from tests.bad_inputs.bad_models import MODELS
from tests.bad_inputs.bad_outputs import OUTPUTS
from tests.bad_inputs.bad_parquet import PARQUET
from tests.bad_inputs.bad_paths import PATHS
from tests.bad_inputs.bad_pickles import PICKLES
from tests.bad_inputs.bad_rows import TABLES, what_rows_got
from tests.bad_inputs.bad_settings import SETTINGS
from tests.bad_inputs.bad_weights import WEIGHTS
from tests.bad_inputs.job_folder import Case, JobFolder
from tests.helpers.checkpoints import tiny_checkpoints
from tests.helpers.command_line import Ended

CASES = {
    "shard": (*PARQUET, *CSV, *JSON, *PATHS),
    "setting": (*SETTINGS, *MODEL_SETS),
    "checkpoint": (*MODEL_NAMES, *WEIGHTS, *PICKLES, *CONFIGURATIONS, *MODELS),
    "output": OUTPUTS,
}


def error_of(ended: Ended) -> str:
    """Return the one error line of a run.

    Raises:
        AssertionError: it has none, several, or a traceback.
    """
    assert "Traceback" not in ended.stdout + ended.stderr, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, f"{len(lines)} error lines: {ended.stderr}"
    assert ended.stderr.rstrip().splitlines()[-1] == lines[0], f"an error of several lines: {ended.stderr}"
    return lines[0].removeprefix("error: ")


def try_case(case: Case, job: JobFolder) -> tuple[str, bool]:
    """Give a bad input to the program; return what it got, and whether that is what it should get."""
    with job.until_done:
        ended = job.run(case.apply(job), case.config)
    try:
        message = error_of(ended)
    except AssertionError as fault:
        return f"exit {ended.returncode}, {fault}", False
    right = ended.returncode == case.exit_code and bool(re.search(case.message, message))
    return f"exit {ended.returncode}: {message}", right


def try_all(base: Path) -> Iterator[tuple[str, str, str, bool]]:
    """Try everything; yield its group, its name, what it got, and whether that is what it should get."""
    checkpoint = tiny_checkpoints.build(tiny_checkpoints.Recipe("bert"), base / "models" / "bert")
    for number, table in enumerate(TABLES):
        job = JobFolder(base / f"rows{number}", checkpoint)
        job.prepare()
        table.write(job, table.rows)
        job.run()
        for row, gets in zip(table.rows, what_rows_got(job, table.rows), strict=True):
            said = gets if gets in ("scored", "no row") else f"rejected: {gets}"
            yield table.group, row.name, said, gets == row.gets
    for group, cases in CASES.items():
        for number, case in enumerate(cases):
            job = JobFolder(base / group / str(number), checkpoint)
            job.prepare()
            said, right = try_case(case, job)
            yield group, case.name, said.replace(f"{job.folder}/", "").replace(f"{base}/", ""), right


def main() -> int:
    """Print a table of what everything gets; return whether something got what it should not."""
    import ray

    ray.init("local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    count = wrong = 0
    with tempfile.TemporaryDirectory() as base:
        for group, name, said, right in try_all(Path(base)):
            count, wrong = count + 1, wrong + (not right)
            print(f"{group:<14}  {name:<52}  {said}{'' if right else '   <-- NOT WHAT IT SHOULD GET'}", flush=True)
    ray.shutdown()
    print(f"\n{count} kinds of bad input, {wrong} of them got something else than they should")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
