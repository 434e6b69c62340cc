"""What every kind of bad input gets; `python -m tests.bad_inputs.bad_inputs` prints it as a table."""

from pathlib import Path

import pytest

from tests.bad_inputs.bad_inputs import CASES, try_case
from tests.bad_inputs.bad_rows import TABLES, Table, rejects_of, what_rows_got
from tests.bad_inputs.job_folder import Case, JobFolder

PARAMETERS = [pytest.param(case, id=f"{group}, {case.name}") for group, cases in CASES.items() for case in cases]


@pytest.mark.parametrize("case", PARAMETERS)
def test_a_bad_input_gets_one_line_and_an_exit_code(
    case: Case, tmp_path: Path, checkpoint: Path, one_ray: None
) -> None:
    del one_ray  # where a fault shows only in the work, it is done there
    job = JobFolder(tmp_path, checkpoint)
    job.prepare()
    said, right = try_case(case, job)
    assert right, said
    assert not (tmp_path / "ran").exists(), "it ran code that it must not run"
    assert "zqsecret" not in said


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(table, id=table.group, marks=[pytest.mark.slow] if table.group == "row, odd model" else [])
        for table in TABLES
    ],
)
def test_a_bad_row_gets_a_code_and_takes_no_other_with_it(
    table: Table, tmp_path: Path, checkpoint: Path, one_ray: None
) -> None:
    del one_ray  # for the odd model alone
    # What kills its worker is a test of its own, since each death takes seconds.
    rows = tuple(row for row in table.rows if row.gets != "killed_worker")
    job = JobFolder(tmp_path, checkpoint)
    job.prepare()
    table.write(job, rows)
    ended = job.run([] if table.group == "row, odd model" else ["--local"])
    output = ended.stdout + ended.stderr
    assert what_rows_got(job, rows) == [row.gets for row in rows], output
    told = [
        path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file() and path.suffix != ".parquet"
    ]
    everything = " ".join([output, str(rejects_of(job)), *told])
    assert not [row.name for row in rows if row.secret and row.secret in everything]
