"""The records of runs, and all files of an output, as the tests compare them."""

from pathlib import Path

from pipeline_lib.reporting.records.run_record import RunRecord, parse_run, record_names
from pipeline_lib.settings.settings import Settings


def records(folder: Path) -> list[RunRecord]:
    """Return the records of an output, the newest first."""
    names = record_names(f"_runs/{path.name}" for path in (folder / "_runs").iterdir())
    found = [parse_run((folder / "_runs" / name).read_bytes()) for name in names]
    assert None not in found
    return [record for record in found if record]


def only_record(folder: Path) -> RunRecord:
    """Return the record of an output that has one."""
    (record,) = records(folder)
    return record


def everything(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def written(tmp_path: Path, settings: Settings) -> Path:
    """Write a settings file."""
    path = tmp_path / "job.yaml"
    path.write_text(settings.model_dump_json())
    return path
