"""An output with files of others in it, partial files of a crashed run, or another run at work."""

from pathlib import Path

import psutil
import pytest

from pipeline_lib.errors import BusyError
from pipeline_lib.publishing.verifier import verify
from pipeline_lib.storage.lease import leased
from tests.conftest import Runner, SettingsMaker, write_parquet
from tests.helpers.watching.published import published_hashes


def test_files_of_others_are_set_aside_and_the_published_ones_stay(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a", "b"]})
    run_here(settings_for())
    out = tmp_path / "out"
    before = published_hashes(out)
    write_parquet(out / "part-00007-000000000.parquet", {"label": ["not ours"]})
    (out / "notes.txt").write_text("mine")
    assert verify(str(out))[1] == [
        "notes.txt: is not in _manifest.json",
        "part-00007-000000000.parquet: is not in _manifest.json",
    ]
    assert run_here(settings_for()).rows_this_run == 0
    assert published_hashes(out) == before
    assert {path.name for path in (out / "_aside").iterdir()} == {
        "notes.txt.0",
        "part-00007-000000000.parquet.0",
    }


def test_partial_files_of_a_crashed_run_are_deleted(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a", "b"]})
    run_here(settings_for())
    before = published_hashes(tmp_path / "out")
    left = tmp_path / "out" / f".part-00000-000000000.parquet.{'0' * 32}.tmp"
    left.write_bytes(b"half")
    write_parquet(tmp_path / "in" / "b.parquet", {"text": ["c"]})
    run_here(settings_for())
    assert not left.exists()
    assert {
        name: content for name, content in published_hashes(tmp_path / "out").items() if name in before
    }.keys() == before.keys()


@pytest.mark.slow
def test_a_run_does_not_disturb_another_that_holds_the_output(
    tmp_path: Path, settings_for: SettingsMaker, run_job: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a", "b"]})
    with leased(str(tmp_path / "out")):
        with pytest.raises(BusyError, match=f"process {psutil.Process().pid} on"):
            run_job(settings_for())
        assert not (tmp_path / "out" / "_SUCCESS").exists()
    assert run_job(settings_for()).status == "PUBLISHED"
