"""The pages in a real browser: what is on them, and that nothing in them runs or is fetched."""

import html
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline_lib.reporting.pages.index_page import write_index
from pipeline_lib.reporting.pages.writing import write_page
from pipeline_lib.statistics.row_statistics import RowStatistics
from tests.conftest import Runner, SettingsMaker, write_parquet
from tests.helpers.checkpoints import tiny_checkpoints
from tests.helpers.watching.browser import PHONE, Browser, browser
from tests.helpers.watching.night_files import MadeNight, night

MARKUP = "<img src=x onerror=alert(1)>"
TURNED = "\u202egnihtemos"  # written from right to left
SHOWN = r"\u202egnihtemos"
HOSTILE = ["<script>alert(1)</script>", f"{TURNED} שלום\x1b[2J\x07"]
TEXTS = [*HOSTILE, "fine", None]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for all tests of this file."""
    with browser(tmp_path_factory.mktemp("browser")) as started:
        yield started


def assert_inert(page: Browser) -> None:
    """Check that nothing in a page ran, was fetched or was refused, and that no address leads elsewhere."""
    assert page.ask("document.scripts.length") == 0
    assert page.requested == []
    assert page.messages == []
    assert page.ask("document.querySelectorAll('[src], [srcset], object, iframe, link, base, form').length") == 0
    outside = "[...document.querySelectorAll('[href]')].filter(each => !each.href.startsWith('file:'))"
    assert page.ask(f"{outside}.length") == 0
    policy = page.ask("document.querySelector('meta[http-equiv=Content-Security-Policy]').content")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def cells(page: Browser, rows: str, inside: str) -> list[list[str]]:
    """Return the text of what is inside of some elements."""
    found = f"[...document.querySelectorAll('{rows}')].map(row => [...row.querySelectorAll('{inside}')])"
    texts: list[list[str]] = page.ask(f"{found}.map(row => row.map(cell => cell.textContent))")
    return texts


def test_a_page_has_the_numbers_of_the_manifest_and_shows_names_as_text(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner, chromium: Browser
) -> None:
    recipe = tiny_checkpoints.Recipe("bert", labels=(MARKUP, TURNED))
    checkpoint = tiny_checkpoints.build(recipe, tmp_path / "model")
    write_parquet(tmp_path / "in" / "<b>a.parquet", {"text": [*TEXTS, *map("text {}".format, range(30))]})
    write_parquet(tmp_path / "in" / "c.parquet", {"text": ["one", None, "three"]})
    settings = settings_for(
        model={"name": str(checkpoint)}, input={"keep_columns": ["text"]}, limits={"max_reject_rate": 0.5}
    )
    assert run_here(settings).status == "PUBLISHED"
    page = tmp_path / "out" / "_report.html"
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    chromium.open(page)
    assert_inert(chromium)
    tiles = {name: value for name, value, *_ in cells(chromium, ".tiles > div", "dt, dd")}
    assert [tiles[name] for name in ("Rows", "With a score", "Rejected")] == ["37", "35", "2"]
    assert [manifest[name] for name in ("rows", "scored", "rejected")] == [37, 35, 2]
    shards = {line[0]: line[1:4] for line in cells(chromium, "#shards ~ .wide tbody tr", "th, td")}
    assert shards == {
        Path(shard["path"]).name: [str(shard[count]) for count in ("rows", "scored", "rejected")]
        for shard in manifest["shards"]
    }
    labels = {line[0]: int(line[1]) for line in cells(chromium, "#labels ~ .wide tbody tr", "th, td")}
    metrics = json.loads((tmp_path / "out" / "_metrics.json").read_text())
    assert {MARKUP: labels.get(MARKUP, 0), TURNED: labels.get(SHOWN, 0)} == {MARKUP: 0, TURNED: 0} | metrics[
        "labels"
    ]
    content = page.read_text()
    assert not any(text in content or html.escape(text) in content for text in HOSTILE)
    assert run_here(settings).status == "COMPLETE"
    assert page.read_text() == content


@pytest.mark.parametrize("width", [PHONE, 1100])
def test_the_pages_of_many_nights_fit_the_window_and_every_picture_has_a_name(
    width: int, tmp_path: Path, chromium: Browser
) -> None:
    long = "a_label_with_a_long_name_that_nothing_breaks_" * 2
    labels = [f"{long}{number}" for number in range(8)]
    earlier = list[RowStatistics]()
    for number in range(4):
        made = MadeNight(number, labels=labels, earlier=earlier, truth=True, shards=[f"/in/{long * 3}.parquet"])
        made.write(tmp_path)
        earlier.append(made.statistics())
    MadeNight(4, labels=labels, earlier=earlier, shift=0.5, held_by="max_label_drift", error="far").write(tmp_path)
    where = f"{tmp_path}/ds={{date}}"
    for page in (write_page(where, night(3)), write_page(where, night(4)), write_index(str(tmp_path))):
        chromium.open(Path(page), width)
        assert chromium.overflow == 0
        assert_inert(chromium)
        pictures = "[...document.querySelectorAll('svg')]"
        assert chromium.ask(f"{pictures}.length") > 4
        assert chromium.ask(f"{pictures}.every(each => each.getAttribute('aria-label') && each.role !== '')")
        assert chromium.ask("document.documentElement.lang") == "en"
        headings = chromium.ask("[...document.querySelectorAll('h1, h2, h3')].map(each => +each.tagName[1])")
        assert headings[0] == 1
        assert all(after - before <= 1 for before, after in pairwise(headings))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast(scheme: str, tmp_path: Path, chromium: Browser) -> None:
    stats = MadeNight(0).statistics()
    MadeNight(0, truth=True).write(tmp_path)
    MadeNight(1, earlier=[stats], rejected={"null_text": 90}, held_by="max_reject_rate", error="many").write(
        tmp_path
    )
    chromium.prefer(scheme)
    for number in (0, 1):
        chromium.open(Path(write_page(f"{tmp_path}/ds={{date}}", night(number))))
        assert chromium.contrasts
        assert min(chromium.contrasts.values()) >= 4.5
