"""Earlier nights as a comparison finds them: accepted ones alone, and never stopped by a broken file."""

import datetime as dt
import hashlib
import json
from pathlib import Path

import pytest

from pipeline_lib.publishing.earlier_nights import MOST_DAYS, earlier_nights
from pipeline_lib.storage.records import Success
from tests.unit.statistics.made_rows import night

DATE = dt.date(2026, 11, 22)
VERSION = "0123456789abcdef"


def publish(folder: Path, days_before: int, *, manifest: str = "m", told: str = "m") -> Path:
    """Leave what a run leaves of a night: its mark, which names a manifest, and metrics that name one."""
    output = folder / f"{DATE - dt.timedelta(days=days_before)}"
    output.mkdir()
    named, in_metrics = (hashlib.sha256(name.encode()).hexdigest() for name in (manifest, told))
    success = Success(version=VERSION, rows=400, scored=400, rejected=0, manifest_sha256=named)
    (output / "_SUCCESS").write_bytes(success.to_bytes())
    metrics = {
        "statistics": night(400, abs(days_before)).to_json(),
        "score_version": VERSION,
        "manifest_sha256": in_metrics,
    }
    (output / "_metrics.json").write_text(json.dumps(metrics))
    return output


def found(folder: Path, pinned: dt.date | None = None) -> tuple[dict[int, bool], list[str]]:
    """Return which nights are found and whether they are accepted, by days before, and the notes."""
    notes: list[str] = []
    records = earlier_nights(f"{folder}/{{date}}", DATE, pinned, notes.append)
    return {(DATE - record.date).days: record.accepted for record in records}, notes


def test_a_night_is_accepted_if_its_metrics_are_of_the_manifest_that_readers_see(tmp_path: Path) -> None:
    publish(tmp_path, 1)
    publish(tmp_path, 2, told="another")  # a run was killed after it had published
    (publish(tmp_path, 3) / "_SUCCESS").unlink()  # it publishes again right now
    held = publish(tmp_path, 4)
    (held / "_staging" / VERSION).mkdir(parents=True)
    (held / "_metrics.json").rename(held / "_staging" / VERSION / "_metrics.json")
    (held / "_SUCCESS").unlink()
    assert found(tmp_path) == ({1: True, 2: False, 3: False}, [])


def test_neither_this_night_nor_later_nor_very_old_ones_are_looked_at_but_the_pinned_one_is(tmp_path: Path) -> None:
    for days in (-1, 0, 1, MOST_DAYS, MOST_DAYS + 1, 400):
        publish(tmp_path, days)
    assert found(tmp_path)[0] == {1: True, MOST_DAYS: True}
    pinned = DATE - dt.timedelta(days=400)
    assert found(tmp_path, pinned)[0] == {1: True, MOST_DAYS: True, 400: True}
    assert earlier_nights(f"{tmp_path}/{{date}}", dt.date.min, None, print) == []


@pytest.mark.parametrize(
    "broken",
    ["", "{", "[]", '"x"', "7", '{"statistics": {}}', '{"statistics": 7}', "\udcff", "[" * 100_000],
)
def test_metrics_that_are_broken_are_left_out_with_one_note(broken: str, tmp_path: Path) -> None:
    publish(tmp_path, 1)
    for days in range(2, 7):
        (publish(tmp_path, days) / "_metrics.json").write_bytes(broken.encode(errors="surrogateescape"))
    (publish(tmp_path, 7) / "_metrics.json").unlink()
    (tmp_path / f"{DATE - dt.timedelta(days=7)}" / "_metrics.json").mkdir()
    records, (note,) = found(tmp_path)
    assert records == {1: True}
    assert note == (
        "not compared with 6 nights whose _metrics.json can't be read: "
        "2026-11-18, 2026-11-19, 2026-11-20 and 3 more"
    )


def test_nights_of_earlier_releases_have_no_statistics_which_is_no_fault(tmp_path: Path) -> None:
    (publish(tmp_path, 1) / "_metrics.json").write_text('{"rows": 7}')
    (publish(tmp_path, 2) / "_metrics.json").write_text('{"statistics": null}')
    assert found(tmp_path) == ({}, [])
