"""When runs write the page of a night, and what becomes of it."""

import contextlib
from pathlib import Path

from rich.console import Console

from pipeline_lib import pipeline
from pipeline_lib.errors import GateError
from pipeline_lib.execution.local_executor import LocalExecutor
from pipeline_lib.publishing.verifier import verify
from pipeline_lib.reporting.attempt import Attempt
from pipeline_lib.reporting.terminal.progress import Progress
from pipeline_lib.settings.settings import Settings
from tests.conftest import SettingsMaker, write_parquet


def run(settings: Settings, accept: str | None = None) -> Attempt:
    """Run in this process, and return the attempt, whether it published or a gate stopped it."""
    progress = Progress(Console(quiet=True))
    with contextlib.suppress(GateError):
        pipeline.run(settings, None, progress, LocalExecutor(), accept=accept)
    return progress.attempt


def test_a_held_night_has_its_page_beside_what_is_staged_until_it_is_published(
    tmp_path: Path, settings_for: SettingsMaker
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a", None, "b"]})
    settings, out = settings_for(), tmp_path / "out"
    held = run(settings).page
    assert held is not None
    assert Path(held).parent.parent == out / "_staging"
    text = Path(held).read_text()
    assert "Held by max_reject_rate: readers see nothing of it" in text
    assert "1 of 3 rows were rejected (33.333%), limits.max_reject_rate is 5.000%" in text
    (out / "_index.html").write_text("a page of all nights, made in between")
    assert run(settings, accept="it is a test").page == str(out / "_report.html")
    assert not (out / "_staging").exists()
    assert "it is a test" in (out / "_report.html").read_text()
    again = run(settings)
    assert (again.outcome and again.outcome.status, again.page) == ("COMPLETE", str(out / "_report.html"))
    assert verify(str(out))[1] == []
    names = {"_SUCCESS", "_index.html", "_manifest.json", "_metrics.json", "_rejects", "_report.html", "_runs"}
    assert {path.name for path in out.iterdir()} == {*names, "part-00000-000000000.parquet"}


def test_a_page_that_cannot_be_written_ends_no_run(tmp_path: Path, settings_for: SettingsMaker) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a", "b"]})
    (tmp_path / "out" / "_report.html" / "in the way").mkdir(parents=True)
    attempt = run(settings_for())
    assert attempt.outcome
    assert attempt.outcome.status == "PUBLISHED"
    assert attempt.page is None
    assert [note.partition(":")[0] for note in attempt.notes] == ["the page of the night was not written"]
