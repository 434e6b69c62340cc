"""The page of a night, and that of all nights, as HTML."""

import html.parser
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline_lib.errors import InputNotReadyError
from pipeline_lib.reporting.pages.index_page import write_index
from pipeline_lib.reporting.pages.writing import write_page
from tests.helpers.watching.night_files import VERSION, MadeNight, night

HELD = (
    "the share of POSITIVE is 70.1%; limits.max_label_drift is 5%; nothing is published; "
    'to publish it all the same: run --accept "why"'
)


class Reader(html.parser.HTMLParser):
    """What is in a page: its elements, its text, and the addresses in it."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags, self.links, self.words = list[str](), list[str](), list[str]()
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element and its addresses."""
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action", "xlink:href"}]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        if self.tags and self.tags[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        """All texts on one line."""
        return " ".join(" ".join(self.words).split())


def page(made: MadeNight, folder: Path) -> Reader:
    """Write a night and its page, and return what is in it."""
    made.write(folder)
    return Reader(Path(write_page(f"{folder}/ds={{date}}", night(made.number))).read_text())


def test_the_verdict_is_the_first_thing_that_is_read(tmp_path: Path) -> None:
    first = MadeNight(0, rejected={"null_text": 33})
    text = page(first, tmp_path).text
    assert "✓ Published: 1,967 of 2,000 rows have a score" in text
    assert "Drift is not evaluated: this is the first night." in text
    held = page(
        MadeNight(1, earlier=[first.statistics()], shift=0.5, held_by="max_label_drift", error=HELD), tmp_path
    )
    assert "✗ Held by max_label_drift: readers see nothing of it" in held.text
    assert "the share of POSITIVE is 70.1%; limits.max_label_drift is 5% " in held.text
    assert 'nightscore run CONFIG --date 2026-11-02 --accept "why"' in held.text
    assert "✗ failed" in held.text
    assert (tmp_path / "ds=2026-11-02" / "_staging" / VERSION / "_report.html").exists()


def test_an_accepted_night_says_who_accepted_what_and_why(tmp_path: Path) -> None:
    accepted = {
        "why": "the shop was <closed>",
        "gates": {"max_reject_rate": "9.000% were rejected, the limit is 5%"},
    }
    text = page(MadeNight(0, accepted=accepted), tmp_path).text
    assert "! Published in spite of max_reject_rate: 2,000 of 2,000 rows have a score" in text
    assert "max_reject_rate : 9.000% were rejected, the limit is 5%" in text
    assert "Accepted by a person: “ the shop was <closed> ”" in text


def test_a_night_without_rows_has_a_page(tmp_path: Path) -> None:
    text = page(MadeNight(0, rows=0, shards=["/in/a.parquet"]), tmp_path).text
    assert "✓ Published: the input has no rows" in text
    assert "Labels and scores" not in text


def test_whatever_files_and_labels_are_called_nothing_of_it_is_markup(tmp_path: Path) -> None:
    label, path = '<img src="https://evil.example/x">\u202egood', '/in/<script>alert("1")</script>\x1b[2J.parquet'
    made = MadeNight(
        0,
        labels=(label, "</title><h1>'\"&amp;", "שלום"),
        rejected={"<b>null": 3},
        shards=[path, "/in/a.parquet"],
        truth=True,
        model={"name": "javascript:alert(1)", "commit": "<i>"},
    )
    found = page(made, tmp_path)
    assert not {"script", "img", "b", "i", "iframe", "object", "link"} & set(found.tags)
    assert found.tags.count("h1") == 1
    assert found.links == []
    assert r'<img src="https://evil.example/x">\u202egood' in found.text
    assert r'<script>alert("1")</script>\x1b[2J.parquet' in found.text
    assert "\u202e" not in found.text


def test_figures_of_another_release_or_of_somebody_else_cost_their_section_only(tmp_path: Path) -> None:
    folder = MadeNight(0).write(tmp_path)
    metrics = json.loads((folder / "_metrics.json").read_text())
    where = f"{tmp_path}/ds={{date}}"
    for broken in ({"statistics": {"score_bins": "other"}}, {"drift": {"verdict": "fine"}}, {"truth": [1]}):
        (folder / "_metrics.json").write_text(json.dumps({**metrics, **broken}))
        assert "Published: 2,000 of 2,000" in Path(write_page(where, night(0))).read_text()
    for content in ("{", "[]", "null", json.dumps({**metrics, "rows": "many"})):
        (folder / "_metrics.json").write_text(content)
        assert "Published: 2,000 of 2,000" in Path(write_page(where, night(0))).read_text()


def test_no_page_is_made_where_nothing_is_published_or_held(tmp_path: Path) -> None:
    with pytest.raises(InputNotReadyError, match="no run has published anything or was held there"):
        write_page(f"{tmp_path}/ds={{date}}", night(3))
    folder = MadeNight(0).write(tmp_path)
    (folder / "_metrics.json").unlink()
    record = next((folder / "_runs").iterdir())
    record.write_text(json.dumps({"status": "FAILED", "exit_code": 1, "error": "the disk is full"}))
    (folder / "_SUCCESS").unlink()
    with pytest.raises(InputNotReadyError, match="the newest run failed: the disk is full"):
        write_page(f"{tmp_path}/ds={{date}}", night(0))
    for output in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(InputNotReadyError, match="no run has published anything"):
            write_index(str(output))


@pytest.mark.slow
def test_a_page_with_200_shards_30_nights_and_30_labels_has_less_than_300_kb(tmp_path: Path) -> None:
    labels = [f"a label with a long name, number {number}" for number in range(30)]
    shards = [f"/data/reviews/ds=2026-11-30/part-{number:05d}-{'0' * 30}.parquet" for number in range(200)]
    earlier = list[Any]()
    for number in range(29):
        made = MadeNight(number, labels=labels, rows=3000, earlier=earlier[-7:])
        made.write(tmp_path)
        earlier.append(made.statistics())
    last = MadeNight(29, labels=labels, rows=3000, shards=shards, earlier=earlier, truth=True)
    found = page(last, tmp_path)
    assert (tmp_path / "ds=2026-11-30" / "_report.html").stat().st_size < 300_000
    assert "and 150 more" in found.text
    assert len(found.links) == 29


def test_links_lead_to_the_pages_of_other_nights(tmp_path: Path) -> None:
    output = tmp_path / "a b#c?d%20"
    stats = MadeNight(0).statistics()
    made = [
        MadeNight(0),
        MadeNight(1, earlier=[stats], held_by="max_reject_rate", error="too many"),
        MadeNight(2, earlier=[stats]),
    ]
    for each in made:
        each.write(output)
        write_page(f"{output}/ds={{date}}", night(each.number))
    for path in (output / "ds=2026-11-03" / "_report.html", Path(write_index(str(output)))):
        links = Reader(path.read_text()).links
        assert links
        for link in links:
            assert not re.match(r"[a-z]+:|/", link)
            assert (path.parent / link.replace("%3D", "=")).resolve().exists()


def test_the_index_finds_the_nights_however_the_output_is_named(tmp_path: Path) -> None:
    for number in (0, 1):
        MadeNight(number, rejected={"null_text": number}).write(tmp_path / "scores")
    (tmp_path / "scores" / "notes.txt").write_text("not of ours")
    root = tmp_path / "scores"
    for output in (root, f"{root}/", f"{root}/ds={{date}}", root / "ds=2026-11-02"):
        (root / "_index.html").unlink(missing_ok=True)
        assert write_index(str(output)) == str(root / "_index.html")
    text = Reader((root / "_index.html").read_text()).text
    assert "Nights 2 Published 2 Held 0" in text
    assert text.index("2026-11-02 published 2,000 0.05%") < text.index("2026-11-01 published 2,000 0.00%")
    elsewhere = tmp_path / "pages" / "all.html"
    assert write_index(str(root), str(elsewhere)) == str(elsewhere)
    assert elsewhere.exists()
