"""The slices of a shard are published in few files: the same rows, found again by resume, reuse and comparison."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline_lib.comparing.difference import compare
from pipeline_lib.comparing.published import read_published
from pipeline_lib.errors import BusyError, FaultError, GateError
from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.planner import make_plan
from pipeline_lib.publishing.files.joining import Hooks
from pipeline_lib.publishing.night_statistics import night_statistics
from pipeline_lib.publishing.publisher import publish
from pipeline_lib.publishing.verifier import verify
from tests.conftest import Runner, SettingsMaker, read_output, write_parquet
from tests.helpers.changed_manifests import change_manifest
from tests.helpers.joined_files import FILES, NAMES, REJECTS, ROWS, SLICES, parts, write_shard
from tests.helpers.watching.published import published_hashes


@pytest.fixture
def out(tmp_path: Path, settings_for: SettingsMaker, run_here: Runner) -> Path:
    """Two shards, published in three files each."""
    write_shard(tmp_path, "a")
    write_shard(tmp_path, "b")
    run_here(settings_for(**SLICES, output=FILES))
    assert verify(str(tmp_path / "out"))[1] == []
    return tmp_path / "out"


def test_a_file_has_the_rows_of_its_slices_in_their_order_with_types_and_metadata_of_a_slice(
    out: Path, tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    outcome = run_here(settings_for(**SLICES, output={"path": str(tmp_path / "slices"), "rows_per_file": 1}))
    assert outcome.files == len(list((tmp_path / "slices").glob("part-*"))) == 20
    assert parts(out) == sorted([*NAMES, *REJECTS])
    for below in ("", "_rejects"):
        joined, sliced = (
            [pq.read_table(path) for path in sorted((folder / below).glob("part-*"))]
            for folder in (out, tmp_path / "slices")
        )
        assert pa.concat_tables(joined).to_pylist() == pa.concat_tables(sliced).to_pylist()
        assert joined[0].schema.equals(sliced[0].schema)
        version = json.loads((out / "_SUCCESS").read_text())["version"]
        assert joined[0].schema.metadata[b"nightscore.version"].decode() == version
    assert pq.read_table(out / NAMES[1]).column("id")[0].as_py() == "a16"


def test_a_second_run_scores_nothing_and_changes_no_byte(
    out: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    before = published_hashes(out)
    again = run_here(settings_for(**SLICES, output=FILES))
    assert (again.status, again.rows_this_run, again.files) == ("COMPLETE", 0, 6)
    assert published_hashes(out) == before


def test_a_damaged_file_is_made_again_of_its_slices_alone(
    out: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    for name, rows in ((NAMES[0], 16), (REJECTS[3], 16)):
        before = published_hashes(out)
        content = (out / name).read_bytes()
        (out / name).write_bytes(content[:40] + b"?" + content[41:])
        assert run_here(settings_for(**SLICES, output=FILES)).rows_this_run == rows
        assert published_hashes(out) == before
        assert verify(str(out))[1] == []
        shutil.rmtree(out / "_aside")
        (out / name).unlink()
        assert run_here(settings_for(**SLICES, output=FILES)).rows_this_run == rows
        assert published_hashes(out) == before


def test_what_is_staged_for_a_damaged_file_is_published_although_the_result_has_as_many_slices(
    out: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    before = published_hashes(out)
    content = (out / NAMES[0]).read_bytes()
    (out / NAMES[0]).write_bytes(content[:40] + b"?" + content[41:])
    with pytest.raises(GateError):
        run_here(settings_for(tuning=SLICES["tuning"], limits={"max_reject_rate": 0.0}, output=FILES))
    assert run_here(settings_for(**SLICES, output=FILES)).rows_this_run == 0
    assert published_hashes(out) == before


def test_a_changed_and_a_new_shard_leave_the_files_of_others_as_they_are(
    out: Path, tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    before = published_hashes(out)
    write_shard(tmp_path, "b", 10)
    write_shard(tmp_path, "c", 5)
    assert run_here(settings_for(**SLICES, output=FILES)).rows_this_run == 15
    assert verify(str(out))[1] == []
    new = "part-00002-000000000.parquet"
    assert parts(out) == sorted([*NAMES[:4], new, *REJECTS[:3], f"_rejects/{new}"])
    assert {name: made for name, made in published_hashes(out).items() if "-00000-" in name} == {
        name: made for name, made in before.items() if "-00000-" in name
    }
    assert read_output(out).num_rows == 33 + 9 + 4


def test_staged_slices_of_a_changed_shard_are_not_taken_for_the_file_that_is_published(
    out: Path, tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    texts = [None if row % 7 == 3 else f"changed {row}" for row in range(ROWS)]
    columns = {
        "id": [f"new{row}" for row in range(ROWS)],
        "kind": ["red"] * ROWS,
        "stars": range(ROWS),
        "text": texts,
    }
    table = pa.table(columns).cast(pq.read_schema(tmp_path / "in" / "b.parquet"))
    write_parquet(tmp_path / "in" / "b.parquet", table)
    with pytest.raises(GateError):
        run_here(settings_for(**{**SLICES, "limits": {"max_reject_rate": 0.0}}, output=FILES))
    assert run_here(settings_for(**SLICES, output=FILES)).rows_this_run == 0
    assert verify(str(out))[1] == []
    assert sum(name.startswith("new") for name in read_output(out).column("id").to_pylist()) == 33


@pytest.mark.parametrize("rows_per_file", [1, 4, 7, 100, 1 << 20])
def test_another_number_of_rows_in_a_file_takes_over_the_scores_and_gives_the_bytes_of_a_fresh_run(
    rows_per_file: int, out: Path, tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    settings = settings_for(**SLICES, output={"rows_per_file": rows_per_file})
    plan = make_plan(discover(settings))
    assert len(plan.reusable) == plan.slices == 20
    run_here(settings)
    assert verify(str(out))[1] == []
    fresh = {"path": str(tmp_path / "fresh"), "rows_per_file": rows_per_file}
    run_here(settings_for(**SLICES, output=fresh))
    assert parts(out) == parts(tmp_path / "fresh")
    for name in parts(out):
        assert (out / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes(), name


def test_scores_of_slices_in_whole_files_are_taken_over_for_other_columns(
    out: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    before = {row["id"]: row["score"] for row in read_output(out).to_pylist()}
    content = (out / NAMES[4]).read_bytes()
    (out / NAMES[4]).write_bytes(content[:40] + b"?" + content[41:])
    settings = settings_for(**SLICES, output=FILES, input={"keep_columns": ["id"]})
    assert len(make_plan(discover(settings)).reusable) == 16
    run_here(settings)
    assert verify(str(out))[1] == []
    assert {row["id"]: row["score"] for row in read_output(out).to_pylist()} == before


def test_outputs_are_compared_whatever_files_their_rows_are_in(
    out: Path, tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    other = {"path": str(tmp_path / "other"), "rows_per_file": 8}
    run_here(settings_for(tuning={"rows_per_slice": 3}, limits=SLICES["limits"], output=other))
    found = compare(read_published(str(out)), read_published(str(tmp_path / "other"))).comparison
    assert (found.rows, found.flips, found.only_in_first, found.only_in_second) == (66, 0, 0, 0)


def _lose_the_lease() -> None:
    raise BusyError("another run holds the output now")


def _interrupt(_files: int, _of_files: int) -> None:
    raise KeyboardInterrupt("stopped by SIGTERM")


@pytest.mark.parametrize(
    "hooks", [Hooks(_lose_the_lease), Hooks(lambda: None, _interrupt)], ids=["busy", "stopped"]
)
def test_joining_that_ends_early_leaves_every_score_and_the_next_run_publishes_them(
    hooks: Hooks, tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_shard(tmp_path, "a")
    write_shard(tmp_path, "b")
    with pytest.raises(GateError):
        run_here(settings_for(tuning=SLICES["tuning"], limits={"max_reject_rate": 0.0}, output=FILES))
    slices = set((tmp_path / "out").glob("_staging/*/part-*.parquet"))
    settings = settings_for(**SLICES, output=FILES)
    plan = make_plan(discover(settings))
    with pytest.raises((BusyError, KeyboardInterrupt)):
        publish(plan, plan.finished, hooks, night_statistics(plan, plan.finished))
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    left = set((tmp_path / "out").glob("_staging/*/part-*.parquet"))
    assert left == slices if hooks.joined is not _interrupt else left < slices
    assert run_here(settings).rows_this_run == 0
    assert verify(str(tmp_path / "out"))[1] == []
    run_here(settings_for(**SLICES, output={**FILES, "path": str(tmp_path / "undisturbed")}))
    for name in parts(tmp_path / "undisturbed"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


def test_a_slice_that_changes_after_it_was_verified_is_not_joined(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_shard(tmp_path, "a")
    with pytest.raises(GateError):
        run_here(settings_for(tuning=SLICES["tuning"], limits={"max_reject_rate": 0.0}, output=FILES))
    settings = settings_for(**SLICES, output=FILES)
    plan = make_plan(discover(settings))
    part = sorted((tmp_path / "out").glob("_staging/*/part-*.parquet"))[2]
    content = part.read_bytes()
    part.write_bytes(content[:40] + b"?" + content[41:])
    with pytest.raises(FaultError, match=f"{part.name}.*was removed or changed while the job ran"):
        publish(plan, plan.finished, Hooks(lambda: None), night_statistics(plan, plan.finished))
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    assert run_here(settings).rows_this_run == 4
    assert verify(str(tmp_path / "out"))[1] == []


def problems_after(out: Path, change: Callable[[dict[str, Any]], Any]) -> str:
    """Change the manifest, and _SUCCESS to fit it; return what verification finds."""
    change_manifest(out, change)
    return "\n".join(verify(str(out))[1])


FALSE_FILES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "rows": (lambda m: m["files"][0].update(rows=20), f"{NAMES[0]} was not made of the slices"),
    "other slices": (lambda m: m["files"][0].update(made_of="0" * 64), f"{NAMES[0]} was not made of the slices"),
    "a file lost": (lambda m: m["files"].pop(0), f"{NAMES[0]}: has "),
    "a file twice": (lambda m: m["files"].append(m["files"][0]), f"lists {NAMES[0]} 2 times"),
    "another version": (lambda m: m["files"][0].update(version="0" * 16), "is of another version"),
    "other counts": (lambda m: m["files"][0]["part"].update(rows=15), f"{NAMES[0]}: has 14 rows, expected 15"),
}


@pytest.mark.parametrize("name", FALSE_FILES)
def test_a_manifest_whose_files_are_not_made_of_its_slices_is_found(name: str, out: Path) -> None:
    change, problem = FALSE_FILES[name]
    assert problem in problems_after(out, change)
