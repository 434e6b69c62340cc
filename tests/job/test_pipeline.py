"""The whole job: every row once, columns untouched, published whole, and cheap to run again."""

import datetime as dt
import decimal
import json
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from pipeline_lib.errors import GateError, OutputError
from pipeline_lib.planning.discovery import discover
from pipeline_lib.publishing.verifier import verify
from tests.conftest import Runner, SettingsMaker, read_output, write_parquet

TEXTS = ["good", "bad", None, "fine 🙂", "", "long " * 200, "good"]


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder but the records of runs."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "_runs" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def every_type(rows: int) -> pa.Table:
    """Return a table whose columns lose something in pandas, numpy or JSON."""
    base = dt.datetime(2026, 3, 29, 1, 30, tzinfo=dt.UTC)
    return pa.table(
        {
            "id": pa.array([index if index % 3 else None for index in range(rows)], pa.int64()),
            "small": pa.array([index % 5 for index in range(rows)], pa.int8()),
            "big": pa.array([2**63 + index for index in range(rows)], pa.uint64()),
            "price": pa.array([decimal.Decimal(index) / 100 for index in range(rows)], pa.decimal128(18, 4)),
            "when": pa.array(
                [base + dt.timedelta(hours=index) for index in range(rows)], pa.timestamp("ns", "Europe/Berlin")
            ),
            "day": pa.array([base.date()] * rows, pa.date32()),
            "tags": pa.array([["a", None], None, []][index % 3] for index in range(rows)),
            "nested": pa.array([{"x": index, "y": [{"z": str(index)}]} for index in range(rows)]),
            "kind": pa.array(["red", "green", None][index % 3] for index in range(rows)).dictionary_encode(),
            "raw": pa.array([bytes([index % 256]) for index in range(rows)], pa.binary()),
            "nothing": pa.nulls(rows),
            "view": pa.array([str(index) for index in range(rows)], pa.string_view()),
            "took": pa.array(range(rows), pa.duration("s")),
            "uuid": pa.array([bytes([index]) * 16 for index in range(rows)], pa.uuid()),
            "pairs": pa.array([[("a", index)] for index in range(rows)], pa.map_(pa.string(), pa.int8())),
            "text": pa.array(f"text {index}" for index in range(rows)),
        }
    )


def test_rows_in_equal_rows_scored_and_rejected_for_every_shard(
    tmp_path: Path, settings_for: SettingsMaker, run_job: Runner
) -> None:
    for shard, rows in enumerate([7, 0, 1, 40]):
        texts = pa.array([TEXTS[row % 7] for row in range(rows)], pa.string())
        write_parquet(tmp_path / "in" / f"{shard}.parquet", {"text": texts})
    outcome = run_job(settings_for(limits={"max_reject_rate": 1.0}, tuning={"rows_per_slice": 16}))
    assert (outcome.rows, outcome.scored, outcome.rejected) == (48, 41, 7)
    manifest, problems = verify(str(tmp_path / "out"))
    assert problems == []
    for record in manifest.shards:
        texts = pq.read_table(record.path).column("text")
        assert (record.rows, record.rejected) == (len(texts), texts.null_count)
    rejects = ds.dataset(tmp_path / "out" / "_rejects").to_table()
    assert set(rejects.column("code").to_pylist()) == {"null_text"}
    assert rejects.num_rows == outcome.rejected


@pytest.mark.slow
def test_user_columns_keep_their_types_and_values_to_the_last_bit(
    tmp_path: Path, settings_for: SettingsMaker, run_job: Runner
) -> None:
    table = every_type(50)
    write_parquet(tmp_path / "in" / "a.parquet", table, row_group_size=11)
    run_job(settings_for(tuning={"rows_per_slice": 20}))
    found = read_output(tmp_path / "out")
    for name in table.column_names[:-1]:
        assert found.schema.field(name).type == table.schema.field(name).type, name
        assert found.column(name).to_pylist() == table.column(name).to_pylist(), name
    assert "text" not in found.column_names
    assert found.column_names[-4:] == ["label", "score", "n_tokens", "truncated"]


def test_repeated_and_null_ids_lose_nothing(tmp_path: Path, settings_for: SettingsMaker, run_here: Runner) -> None:
    for name in ("a", "b"):
        write_parquet(tmp_path / "in" / f"{name}.parquet", {"id": [1, 1, None, None], "text": ["x", "x", "y", "y"]})
    run_here(settings_for(tuning={"rows_per_slice": 3}))
    assert sorted(read_output(tmp_path / "out").column("id").to_pylist(), key=str) == [1] * 4 + [None] * 4


def test_running_again_scores_nothing_and_changes_no_byte(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner, run_job: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": TEXTS})
    settings = settings_for(limits={"max_reject_rate": 1.0})
    assert run_here(settings).status == "PUBLISHED"
    before = tree(tmp_path / "out")
    again = run_job(settings)
    assert (again.status, again.rows_this_run) == ("COMPLETE", 0)
    assert tree(tmp_path / "out") == before


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes_in_another_folder(
    tmp_path: Path, settings_for: SettingsMaker, run_job: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": [f"text {row}" for row in range(60)]})
    for out, tuning in (
        ("one", {"model_actors": 1}),
        ("two", {"model_actors": 2, "tokenizer_actors": 1, "reader_actors": 1}),
    ):
        output = {"path": str(tmp_path / out), "rows_per_file": 14}
        run_job(settings_for(output=output, tuning={"rows_per_slice": 7, **tuning}))
    parts = [
        {name: content for name, content in tree(tmp_path / out).items() if name.startswith("part-")}
        for out in ("one", "two")
    ]
    assert len(parts[0]) == 5
    assert parts[0] == parts[1]


def test_slices_of_an_earlier_attempt_are_not_scored_again(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    """A gate that fails leaves everything staged; with a wider gate the same slices are published as they are."""
    write_parquet(tmp_path / "in" / "a.parquet", {"text": TEXTS})
    with pytest.raises(GateError, match=r"1 of 7 rows were rejected .* nothing is published"):
        run_here(settings_for())
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    outcome = run_here(settings_for(limits={"max_reject_rate": 0.5}))
    assert (outcome.status, outcome.rows_this_run) == ("PUBLISHED", 0)
    assert not (tmp_path / "out" / "_staging").exists()


def test_a_staged_part_that_does_not_verify_is_scored_again(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": TEXTS})
    slices = {"tuning": {"rows_per_slice": 4}, "output": {"rows_per_file": 4}}
    with pytest.raises(GateError):
        run_here(settings_for(**slices))
    (part, _) = sorted((tmp_path / "out" / "_staging").glob("*/part-*.parquet"))
    content = part.read_bytes()
    part.write_bytes(content[:20] + b"?" + content[21:])
    outcome = run_here(settings_for(limits={"max_reject_rate": 0.5}, **slices))
    assert outcome.rows_this_run == 4
    assert (tmp_path / "out" / part.name).read_bytes() == content


def test_another_version_is_never_mixed_in(tmp_path: Path, settings_for: SettingsMaker, run_here: Runner) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a", "b"]})
    run_here(settings_for())
    before = tree(tmp_path / "out")
    with pytest.raises(OutputError, match=r"output\.logits was False, is now True"):
        run_here(settings_for(output={"logits": True}))
    assert tree(tmp_path / "out") == before


def test_a_shard_that_arrives_later_is_scored_alone(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "b.parquet", {"text": ["a", "b"]})
    run_here(settings_for())
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["c", "d", "e"]})
    outcome = run_here(settings_for())
    assert (outcome.rows, outcome.rows_this_run) == (5, 3)
    assert verify(str(tmp_path / "out"))[1] == []
    assert read_output(tmp_path / "out").num_rows == 5


def test_a_changed_shard_is_scored_again_alone(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"id": [1, 2], "text": ["a", "b"]})
    write_parquet(tmp_path / "in" / "b.parquet", {"id": [3, 4], "text": ["c", "d"]})
    run_here(settings_for(tuning={"rows_per_slice": 1}))
    write_parquet(tmp_path / "in" / "b.parquet", {"id": [5], "text": ["another"]})
    outcome = run_here(settings_for(tuning={"rows_per_slice": 1}))
    assert outcome.rows_this_run == 1
    assert sorted(read_output(tmp_path / "out").column("id").to_pylist()) == [1, 2, 5]
    assert verify(str(tmp_path / "out"))[1] == []


def test_csv_rows_that_are_ragged_become_rejects_with_their_lines(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    shard = tmp_path / "in" / "a.csv"
    shard.parent.mkdir()
    shard.write_text('id,text\n1,"two\nlines"\n2,one,too many\n3,NA\n4,"say ""hi"""\n', encoding="utf-8")
    run_here(settings_for(limits={"max_reject_rate": 1.0}, tuning={"rows_per_slice": 2}))
    found = read_output(tmp_path / "out").sort_by("id")
    assert found.column("id").to_pylist() == ["1", "3", "4"]
    (reject,) = pq.read_table(tmp_path / "out" / "_rejects").to_pylist()
    assert (reject["row"], reject["line"], reject["code"]) == (1, 4, "ragged")


def test_a_clashing_user_column_is_kept_under_another_name(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"label": [1, 0], "text": ["a", "b"]})
    settings = settings_for()
    run_here(settings)
    found = read_output(tmp_path / "out")
    assert found.column("input_label").to_pylist() == [1, 0]
    assert found.schema.field("label").type == pa.string()
    assert "kept as 'input_label'" in discover(settings).notices[0]


def test_every_reader_sees_the_scored_rows_and_nothing_else(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    texts = [f"text {row}" for row in range(20)] + [None]
    write_parquet(tmp_path / "in" / "a.parquet", {"id": range(21), "text": texts})
    run_here(settings_for(tuning={"rows_per_slice": 6}))
    out = tmp_path / "out"
    expected = set(range(20))
    assert set(pd.read_parquet(out)["id"]) == expected
    assert set(ds.dataset(out).to_table().column("id").to_pylist()) == expected
    assert set(pl.read_parquet(out / "*.parquet")["id"]) == expected
    rows = duckdb.read_parquet(f"{out}/*.parquet").fetchall()
    assert {row[0] for row in rows} == expected
    assert len(rows) == 20


def test_the_manifest_and_success_say_what_was_done(
    tmp_path: Path, settings_for: SettingsMaker, run_job: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a", "b", None]})
    run_job(settings_for(limits={"max_reject_rate": 1.0}, tuning={"tokenizer_actors": 1}))
    out = tmp_path / "out"
    success = json.loads((out / "_SUCCESS").read_text())
    manifest = json.loads((out / "_manifest.json").read_text())
    metrics = json.loads((out / "_metrics.json").read_text())
    assert (success["rows"], success["scored"], success["rejected"]) == (3, 2, 1)
    assert manifest["model"]["labels"] == ["LABEL_0", "LABEL_1"]
    assert metrics["line"].startswith("PUBLISHED in=3 scored=2 rejected=1")
    assert set(metrics["peak_bytes"]) == {"driver", "tokenizer", "model", "writer"}
    schema = pq.read_schema(next(out.glob("part-*.parquet")))
    assert schema.metadata[b"nightscore.version"].decode() == success["version"]


@pytest.mark.slow
def test_a_large_slice_goes_through_whole(tmp_path: Path, settings_for: SettingsMaker, run_job: Runner) -> None:
    """Ray splits what is over its block size; a slice that is one row can't be split."""
    payload = pa.array([bytes(2_000_000)] * 100, pa.large_binary())
    write_parquet(tmp_path / "in" / "a.parquet", {"payload": payload, "text": ["short"] * 100})
    run_job(settings_for())
    found = read_output(tmp_path / "out")
    assert found.num_rows == 100
    assert pc.min(pc.binary_length(found.column("payload"))).as_py() == 2_000_000
    assert len(list((tmp_path / "out").glob("part-*"))) == 1


def test_json_lines_are_scored_beside_parquet_with_their_lines_and_kept_columns(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"id": [1, 2], "text": ["one", "two"], "tags": ["[]", None]})
    lines = ['{"id": 3, "text": "one", "tags": ["x"]}', "", "{", '{"text": null}', '{"text": "two", "id": 4}']
    (tmp_path / "in" / "b.jsonl").write_text("\n".join(lines))
    (tmp_path / "in" / "c.jsonl").write_text("")
    settings = settings_for(limits={"max_reject_rate": 1.0}, tuning={"rows_per_slice": 3})
    assert run_here(settings).status == "PUBLISHED"
    rows = {row["id"]: row for row in read_output(tmp_path / "out").to_pylist()}
    assert [rows[number]["tags"] for number in (1, 2, 3, 4)] == ["[]", None, '["x"]', None]
    assert rows[3]["score"] == pytest.approx(rows[1]["score"], abs=1e-5)
    assert rows[4]["score"] == pytest.approx(rows[2]["score"], abs=1e-5)
    rejects = read_output(tmp_path / "out" / "_rejects").to_pylist()
    assert {(row["line"], row["code"]) for row in rejects} == {(3, "malformed"), (4, "null_text")}
