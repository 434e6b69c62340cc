"""`status`: how nights went, from files alone."""

import datetime as dt
import json
import os
import shutil
from pathlib import Path

from pipeline_lib.nights.status import nights_status
from pipeline_lib.storage.lease import leased
from tests.conftest import SettingsMaker
from tests.helpers.checkpoints import tiny_checkpoints
from tests.helpers.watching.one_night import FIRST, night, record_of, run, shard


def test_a_published_night_shows_its_rows_its_model_and_when(tmp_path: Path, nightly: SettingsMaker) -> None:
    shard(tmp_path, texts=("one", "two", None))
    settings = nightly(limits={"max_reject_rate": 0.5})
    assert night(settings).state == "missing"
    assert run(settings) == 0
    found = night(settings)
    assert (found.state, found.reason, found.exit_code) == ("published", "", 0)
    assert (found.rows, found.scored, found.rejected) == (3, 2, 1)
    assert found.model == settings.model.name
    assert found.seconds
    assert found.version
    assert found.finished_at
    assert run(settings) == 0
    again = night(settings)
    assert (again.state, again.finished_at, again.seconds) == ("published", found.finished_at, found.seconds)
    assert again.attempt == 2


def test_a_night_without_input_is_told_from_one_that_never_ran(tmp_path: Path, nightly: SettingsMaker) -> None:
    settings = nightly()
    assert night(settings).state == "no_input"
    assert run(settings) == 5
    found = night(settings)
    assert (found.state, found.exit_code) == ("no_input", 5)
    shard(tmp_path)
    assert night(settings).state == "missing"


def test_a_night_that_a_gate_stops_is_held_until_it_is_accepted(tmp_path: Path, nightly: SettingsMaker) -> None:
    shard(tmp_path, texts=("one", None))
    assert run(nightly()) == 3
    found = night(nightly())
    assert (found.state, found.gate, found.exit_code) == ("held", "max_reject_rate", 3)
    assert (found.rows, found.scored, found.rejected) == (2, 1, 1)
    assert "1 of 2 rows were rejected" in found.reason
    assert run(nightly(), accept="the shop was closed") == 0
    found = night(nightly())
    assert (found.state, found.accepted) == ("published", "the shop was closed")
    assert found.reason == "accepted: the shop was closed"


def test_a_night_with_a_broken_shard_failed(tmp_path: Path, nightly: SettingsMaker) -> None:
    path = shard(tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    assert run(nightly()) == 2
    found = night(nightly())
    assert (found.state, found.exit_code) == ("failed", 2)
    assert "a.parquet" in found.reason


def test_what_makes_a_published_night_stale_is_named(tmp_path: Path, nightly: SettingsMaker) -> None:
    shard(tmp_path)
    assert run(nightly()) == 0
    found = night(nightly(output={"logits": True}, model={"precision": "bfloat16"}))
    assert found.state == "stale"
    assert found.reason == "model.precision 'float32', now 'bfloat16'; output.logits False, now True"
    assert run(nightly(output={"scores": "all"}, limits={"min_rows": 9}), replace=True) == 3
    assert night(nightly(output={"scores": "all"})).state == "held"
    assert night(nightly()).state == "published"
    shard(tmp_path, "b")
    found = night(nightly())
    assert (found.state, found.reason) == ("stale", "late shards: 1 shard, now 2")
    assert run(nightly()) == 0
    assert (night(nightly()).state, night(nightly()).rows) == ("published", 4)
    shard(tmp_path, "b", ("three", "four"))
    assert night(nightly()).reason == "changed shards"
    (tmp_path / "in" / FIRST.isoformat() / "b.parquet").unlink()
    assert night(nightly()).reason == "shards are gone: 2 shards, now 1"
    assert run(nightly()) == 2
    found = night(nightly())
    assert found.state == "stale"
    assert "the last run failed: the output holds rows of" in found.reason
    (tmp_path / "in" / FIRST.isoformat() / "a.parquet").unlink()
    assert night(nightly()).state == "published", "raw data is deleted after a while"


def test_a_copy_of_the_input_is_stale_until_a_run_has_compared_it(tmp_path: Path, nightly: SettingsMaker) -> None:
    path = shard(tmp_path)
    assert run(nightly()) == 0
    os.utime(path, (1, 1))
    assert night(nightly()).reason == "changed shards"
    assert run(nightly()) == 0
    assert night(nightly()).state == "published"


def test_another_model_makes_a_night_stale_and_a_copy_of_the_same_one_does_not(
    tmp_path: Path, checkpoint: Path, nightly: SettingsMaker
) -> None:
    shard(tmp_path)
    shutil.copytree(checkpoint, tmp_path / "model")
    assert run(nightly(model={"name": str(tmp_path / "model")})) == 0
    shutil.copytree(checkpoint, tmp_path / "copy", copy_function=shutil.copyfile)
    assert night(nightly(model={"name": str(tmp_path / "copy")})).state == "published"
    other = tiny_checkpoints.build(tiny_checkpoints.Recipe("gpt2"), tmp_path / "other")
    found = night(nightly(model={"name": str(other)}))
    assert (found.state, found.reason) == ("stale", f"other model than '{tmp_path}/model'")
    notes: list[str] = []
    elsewhere = nightly(model={"name": "/models/that/are/on/the/cluster"})
    (found,) = nights_status(elsewhere, [FIRST], dt.datetime.now(dt.UTC), notes.append)
    assert found.state == "published"
    assert "the model is not compared" in notes[0]


def test_a_night_whose_mark_is_gone_or_whose_record_is_gone_is_what_its_files_say(
    tmp_path: Path, nightly: SettingsMaker
) -> None:
    shard(tmp_path)
    assert run(nightly()) == 0
    version = night(nightly()).version
    record = record_of(tmp_path)
    told = record.read_bytes()
    old = {name: value for name, value in json.loads(told).items() if name not in {"published", "made_from"}}
    record.write_text(json.dumps(old))  # as an earlier release wrote it
    assert (night(nightly()).state, night(nightly()).version) == ("published", version)
    record.write_bytes(b"no record")
    assert (night(nightly()).state, night(nightly()).version) == ("published", version)
    record.unlink()
    assert (night(nightly()).state, night(nightly()).version) == ("published", version)
    record.write_bytes(told)
    (tmp_path / "out" / f"ds={FIRST}" / "_SUCCESS").unlink()
    assert (night(nightly()).state, night(nightly()).reason) == (
        "missing",
        "it was published, but _SUCCESS is gone",
    )


def test_a_run_that_found_another_one_at_work_does_not_hide_that_one(
    tmp_path: Path, nightly: SettingsMaker
) -> None:
    shard(tmp_path, texts=("one", None))
    assert run(nightly()) == 3
    with leased(f"{tmp_path}/out/ds={FIRST}"):
        assert run(nightly(limits={"max_reject_rate": 1.0})) == 4
    assert night(nightly()).state == "held"
