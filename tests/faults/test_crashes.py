"""A run that is killed at any point, from its first part to its last deletion, is completed with the same bytes."""

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline_lib.errors import GateError
from pipeline_lib.machine import failpoints
from pipeline_lib.machine.failpoints import POINTS
from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.planner import make_plan
from pipeline_lib.publishing.verifier import verify
from pipeline_lib.settings.settings import Settings
from pipeline_lib.settings.settings_file import parse_settings
from tests.conftest import Runner, SettingsMaker, run_without_ray, write_parquet
from tests.helpers.crashes import run_in_process
from tests.helpers.watching.published import Poller, published_hashes, read_version

PUBLISHER = [point for point in POINTS if point.startswith("publisher.")]
WRITER = [point for point in POINTS if point.startswith("writer.")]
# One point is quick enough for every day.


@dataclass
class Staged:
    """An output whose first version is published and whose second is all staged."""

    out: Path
    kept: Path
    first: Settings
    second: Settings

    def restore(self) -> None:
        """Make the output again what it was at first."""
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.copytree(self.kept, self.out)


@pytest.fixture(scope="module")
def staged(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Staged:
    """Score two versions of a Parquet and a CSV shard with repeated and null ids, and publish the first."""
    home = tmp_path_factory.mktemp("staged")
    texts = [None if row % 10 == 0 else f"text {row}" for row in range(30)]
    write_parquet(home / "in" / "a.parquet", {"id": ["1", "1", None] * 10, "text": texts})
    (home / "in" / "b.csv").write_text(
        "id,text\n" + "".join(f"{row},words {row}\n" for row in range(9)) + "x,y,z\n"
    )

    def settings(limit: float, *, logits: bool) -> Settings:
        return parse_settings(
            {
                "model": {"name": str(checkpoint)},
                "input": {"path": str(home / "in")},
                # Of the first shard's slices three are joined, and one is published as it is.
                "output": {"path": str(home / "out"), "logits": logits, "rows_per_file": 24},
                "limits": {"max_reject_rate": limit},
                "tuning": {"rows_per_slice": 8, "model_actors": 1},
            }
        )

    run_without_ray(settings(1, logits=False))
    with pytest.raises(GateError):
        run_without_ray(settings(0, logits=True), replace=True)
    shutil.move(home / "out", home / "kept")
    return Staged(home / "out", home / "kept", settings(1, logits=False), settings(1, logits=True))


@pytest.mark.slow
def test_killed_at_any_point_of_publishing_the_next_run_ends_with_the_same_bytes(
    staged: Staged, tmp_path: Path
) -> None:
    staged.restore()
    old = read_version(staged.out)
    assert run_in_process(staged.second, replace=True, folder=tmp_path) == 0
    undisturbed, new = published_hashes(staged.out), read_version(staged.out)
    assert old != new
    for point in PUBLISHER:
        staged.restore()
        with Poller(staged.out) as poller:
            died = run_in_process(staged.second, replace=True, crash_at=point, folder=tmp_path)
            assert died == -signal.SIGKILL, point
            assert read_version(staged.out) in {old, new, None}, point
            assert make_plan(discover(staged.second, replace=True)).todo == [], f"{point} lost scores"
            assert run_in_process(staged.second, replace=True, folder=tmp_path) == 0, point
        assert published_hashes(staged.out) == undisturbed, point
        assert poller.faults == [], point
        assert set(poller.whole) <= {old, new}, point
        assert verify(str(staged.out))[1] == []


@pytest.mark.slow
def test_after_a_replacement_crashed_the_old_version_can_be_published_again(staged: Staged, tmp_path: Path) -> None:
    for point in ("publisher.while_moving", "publisher.after_sweep", "publisher.after_manifest"):
        staged.restore()
        undisturbed = {
            name: made for name, made in published_hashes(staged.kept).items() if not name.startswith("_staging")
        }
        assert run_in_process(staged.second, replace=True, crash_at=point, folder=tmp_path) == -signal.SIGKILL
        run_without_ray(staged.first)
        assert published_hashes(staged.out) == undisturbed, point


@pytest.mark.slow
@pytest.mark.parametrize("point", WRITER)
def test_a_writer_that_is_killed_changes_no_byte(
    point: str, tmp_path: Path, settings_for: SettingsMaker, run_here: Runner, run_job: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a", None, "b", "c", None, "d"] * 4})
    settings = settings_for(limits={"max_reject_rate": 1.0}, tuning={"rows_per_slice": 6})
    run_here(settings)
    undisturbed = published_hashes(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    armed = Path(os.environ[failpoints.FOLDER], point)
    armed.touch()
    run_job(settings)
    assert not armed.exists(), "nobody came by"
    assert published_hashes(tmp_path / "out") == undisturbed
