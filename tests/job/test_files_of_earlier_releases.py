"""Outputs of releases that published a file for each slice stay whole, and are joined where that is asked for."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline_lib.errors import GateError
from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.planner import make_plan
from pipeline_lib.publishing.verifier import verify
from tests.conftest import Runner, SettingsMaker
from tests.helpers.changed_manifests import change_manifest
from tests.helpers.joined_files import FILES, NAMES, ROWS, SLICES, write_shard
from tests.helpers.watching.published import published_hashes


@pytest.fixture
def earlier(tmp_path: Path, settings_for: SettingsMaker, run_here: Runner) -> Path:
    """An output as releases published it that made a file of each slice, of the version that this one makes."""
    write_shard(tmp_path, "a")
    run_here(settings_for(**SLICES))
    records = {name: (tmp_path / "out" / name).read_bytes() for name in ("_manifest.json", "_SUCCESS")}
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(GateError):
        run_here(settings_for(tuning=SLICES["tuning"], limits={"max_reject_rate": 0.0}))
    out = tmp_path / "out"
    (staging,) = (out / "_staging").iterdir()
    for path in [*staging.glob("part-*.parquet"), *staging.glob("_rejects/*.parquet")]:
        target = out / path.relative_to(staging)
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    shutil.rmtree(out / "_staging")
    for name, content in records.items():
        (out / name).write_bytes(content)
    change_manifest(out, _without_files)
    return out


def _without_files(manifest: dict[str, Any]) -> None:
    del manifest["files"], manifest["settings"]["output"]["rows_per_file"]


def test_a_file_for_each_slice_of_an_earlier_release_is_whole_complete_and_stays_beside_new_shards(
    earlier: Path, tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    assert verify(str(earlier))[1] == []
    before = published_hashes(earlier)
    assert run_here(settings_for(**SLICES)).status == "COMPLETE"
    assert published_hashes(earlier) == before
    write_shard(tmp_path, "b")
    assert run_here(settings_for(**SLICES)).rows_this_run == ROWS
    assert verify(str(earlier))[1] == []
    after = published_hashes(earlier)
    assert {name: made for name, made in after.items() if "-00000-" in name} == {
        name: made for name, made in before.items() if "-00000-" in name
    }
    assert [name for name in after if name.startswith("part-00001")] == ["part-00001-000000000.parquet"]


def test_a_file_for_each_slice_of_an_earlier_release_is_joined_where_another_number_of_rows_is_asked_for(
    earlier: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    settings = settings_for(**SLICES, output=FILES)
    assert len(make_plan(discover(settings)).reusable) == 10
    run_here(settings)
    assert verify(str(earlier))[1] == []
    assert [path.name for path in sorted(earlier.glob("part-*"))] == NAMES[:3]
