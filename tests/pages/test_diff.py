"""`diff` finds what pandas finds by joining both outputs on the id, however they are cut."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import s3fs

from pipeline_lib.settings.settings_file import parse_settings
from tests.conftest import run_without_ray, write_parquet
from tests.helpers.checkpoints import tiny_checkpoints
from tests.helpers.checkpoints.tiny_checkpoints.texts import CORPUS
from tests.helpers.command_line import error_line, nightscore

ROWS = 60
TEXTS = [
    None if at % 17 == 4 else " " if at % 13 == 5 else f"{CORPUS[at % len(CORPUS)]} {at}" for at in range(ROWS)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Path:
    """Outputs of the same rows: by two checkpoints, in two precisions, in other slices, and with other rejects."""
    folder = tmp_path_factory.mktemp("diff")
    other = tiny_checkpoints.build(tiny_checkpoints.Recipe("bert", seed=3), folder / "other")
    for at, name in enumerate("ab"):
        columns = {"id": [f"r{at}-{row}" for row in range(ROWS)], "text": TEXTS[at * 7 :] + TEXTS[: at * 7]}
        write_parquet(folder / "in" / f"{name}.parquet", columns)
    shutil.copytree(folder / "in", folder / "copy")
    score(folder, "one", checkpoint, tuning={"rows_per_slice": 7})
    score(folder, "two", other, input={"path": str(folder / "copy"), "blank_texts": "reject"})
    score(folder, "half", checkpoint, model={"precision": "bfloat16"}, tuning={"rows_per_slice": 25})
    score(folder, "two_prefixed", other, input={"blank_texts": "reject"}, output={"column_prefix": "tone_"})
    score(folder, "one_all", checkpoint, output={"scores": "all"})
    score(folder, "two_all", other, output={"scores": "all"}, tuning={"rows_per_slice": 11})
    return folder


def score(folder: Path, name: str, checkpoint: Path, **sections: Mapping[str, Any]) -> None:
    """Publish an output below a folder."""
    base: dict[str, dict[str, Any]] = {
        "model": {"name": str(checkpoint)},
        "input": {"path": str(folder / "in")},
        "output": {"path": str(folder / name)},
        "limits": {"max_reject_rate": 1.0},
    }
    for section, values in sections.items():
        base[section] = {**base.get(section, {}), **values}
    run_without_ray(parse_settings(base))


def found(first: object, second: object, *options: str, code: int = 0) -> dict[str, Any]:
    """Return the figures of a comparison."""
    ended = nightscore("diff", str(first), str(second), "--json", *options)
    assert ended.returncode == code, ended.stderr
    figures: dict[str, Any] = json.loads(ended.stdout)
    return figures


@pytest.mark.parametrize(("first", "second"), [("one", "two"), ("one", "half"), ("one_all", "two_all")])
def test_the_figures_are_those_of_a_join_on_the_id(folder: Path, first: str, second: str) -> None:
    figures = found(folder / first, folder / second)
    one, two = (pd.read_parquet(folder / name).set_index("id") for name in (first, second))
    both = one.merge(two, left_index=True, right_index=True, suffixes=("_1", "_2"))
    flips = both[both.label_1 != both.label_2]
    assert (figures["rows"], figures["flips"]) == (len(both), len(flips))
    # With two labels of a softmax the score of one tells that of the other.
    score_of_first = [
        both[f"score_{n}"].where(both[f"label_{n}"] == "LABEL_0", 1 - both[f"score_{n}"]) for n in (1, 2)
    ]
    assert figures["largest"] == pytest.approx((score_of_first[0] - score_of_first[1]).abs().max(), abs=1e-6)
    assert figures["only_in_first"] == len(one) - len(both)
    assert figures["only_in_second"] == len(two) - len(both) == 0
    assert figures["by_label"] == {
        label: rows.value_counts().to_dict() for label, rows in both.groupby("label_1").label_2
    }
    of_shard = both.index.str.startswith("r1-")
    assert figures["by_shard"]["b.parquet"]["flips"] == int((both.label_1 != both.label_2)[of_shard].sum())
    for example in figures["examples"]:
        row = both.loc[example["id"]]
        assert example["flipped"] == (row.label_1 != row.label_2)
        assert example["id"] == f"r{'ab'.index(example['shard'][0])}-{example['row']}"
    assert figures["notes"] == []


def test_half_precision_differs_little_and_another_checkpoint_much(folder: Path) -> None:
    half, other = found(folder / "one", folder / "half"), found(folder / "one", folder / "two")
    assert 0 < half["largest"] < 0.1 < other["largest"]
    assert other["flips"] > half["flips"]
    assert other["only_in_first"] > 0  # blank texts, which the second output rejected
    assert half["second"]["model"]["precision"] == "bfloat16"
    assert found(folder / "one", folder / "one")["largest"] == 0


def test_columns_with_a_prefix_are_compared_with_those_without(folder: Path) -> None:
    plain, prefixed = found(folder / "one", folder / "two"), found(folder / "one", folder / "two_prefixed")
    assert plain["flips"] > 0
    for figure in ("rows", "flips", "largest", "by_label", "by_shard", "examples", "notes"):
        assert prefixed[figure] == plain[figure]


def test_the_last_line_says_it_all_and_flips_above_the_limit_exit_with_3(folder: Path) -> None:
    figures = found(folder / "one", folder / "two")
    flips = figures["flips"]
    assert flips > 0
    assert found(folder / "one", folder / "two", "--max-flips", str(flips)) == figures
    assert found(folder / "one", folder / "two", "--max-flips", str(flips - 1), code=3) == figures
    ended = nightscore("diff", str(folder / "one"), str(folder / "two"), "--max-flips", "0")
    assert ended.returncode == 3
    assert ended.stderr == f"limit    {flips:,} flips are more than --max-flips 0\n"
    last = ended.stdout.splitlines()[-1]
    assert last.startswith(f"flips {flips:,} of {figures['rows']:,} rows (")
    assert last.endswith(f", largest difference {figures['largest']:.4f}")
    assert figures["examples"][0]["id"] in ended.stdout
    assert not any(text in ended.stdout for text in TEXTS if text and text.strip())


def test_the_page_has_the_figures_shows_names_as_text_and_no_text_of_a_row(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "diff.html"
    figures = found(folder / "one", folder / "two", "--page", str(page), "--max-flips", "1", code=3)
    html = page.read_text()
    assert "default-src 'none'; style-src 'unsafe-inline'" in html
    assert f"flips {figures['flips']:,} of {figures['rows']:,} rows" in html
    assert figures["examples"][0]["id"] in html
    assert "--max-flips" in html
    assert not any(text in html for text in TEXTS if text and text.strip())
    names = ("<script>alert(1)</script>", "good\u202e & \x07")
    named = [
        tiny_checkpoints.build(tiny_checkpoints.Recipe("bert", labels=names, seed=seed), tmp_path / f"named{seed}")
        for seed in (0, 3)
    ]
    for at, each in enumerate(named):
        score(folder, f"named{at}", each, tuning={"rows_per_slice": 1_000})
    found(folder / "named0", folder / "named1", "--page", str(page))
    html = page.read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert not set("\u202e\x07") & set(html)
    assert "<script" not in html
    assert "http" not in html.replace("http-equiv", "")
    ended = nightscore("diff", str(folder / "named0"), str(folder / "named1"))
    assert "good\\u202e & \\x07" in ended.stdout
    written = nightscore("diff", str(folder / "one"), str(folder / "one"), "--page", str(tmp_path))
    assert (written.returncode, "writing the page failed" in written.stderr) == (2, True)


def test_outputs_in_a_bucket_are_read_too_and_paired_by_path(
    folder: Path, checkpoint: Path, s3_server: str
) -> None:
    store = s3fs.S3FileSystem(endpoint_url=s3_server)
    store.mkdir("diff")
    store.put(str(folder / "in"), "diff/in", recursive=True)
    places = {"input": {"path": "s3://diff/in"}, "output": {"path": "s3://diff/out"}}
    score(folder, "", checkpoint, **places, tuning={"rows_per_slice": 31})
    figures = found(folder / "one", "s3://diff/out")
    assert (figures["flips"], figures["only_in_first"]) == (0, 0)
    assert figures["largest"] < 1e-5  # other slices make other batches
    assert figures["rows"] == found(folder / "one", folder / "one")["rows"]
    (note,) = figures["notes"]
    assert note.startswith("2 shards of equal path and number of rows, but not of the same bytes")


def test_what_cannot_be_compared_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    def error(first: object, second: object, *options: str) -> str:
        return error_line(nightscore("diff", str(first), str(second), *options))

    assert "is not a published output: no readable _SUCCESS" in error(folder / "one", folder / "in")
    assert "no readable _SUCCESS, and the folder is empty or missing" in error(tmp_path / "no", folder / "one")
    torn = shutil.copytree(folder / "one", tmp_path / "torn")
    (torn / "_manifest.json").write_bytes((folder / "two" / "_manifest.json").read_bytes())
    assert "is not the manifest that _SUCCESS was written for" in error(folder / "one", torn)
    named = tiny_checkpoints.build(tiny_checkpoints.Recipe("bert", labels=("bad", "good")), tmp_path / "named")
    score(folder, "named", named)
    assert "'LABEL_0', 'LABEL_1'" in error(folder / "one", folder / "named")
    assert "'bad', 'good'" in error(folder / "one", folder / "named")
    assert "'txt' is not a kept column of both outputs; these are 'id'" in error(
        folder / "one", folder / "two", "--id", "txt"
    )
    assert "'text' holds the texts, which are never shown" in error(folder / "one", folder / "two", "--id", "text")
    lost = shutil.copytree(folder / "one", tmp_path / "lost")
    (lost / "part-00000-000000000.parquet").write_bytes(b"PAR1")
    assert "'part-00000-000000000.parquet' can't be read" in error(folder / "one", lost)


def test_rows_that_are_not_the_same_are_told_by_their_ids(folder: Path, checkpoint: Path, tmp_path: Path) -> None:
    table = {"id": [f"other-{row}" for row in range(ROWS)], "text": TEXTS}
    write_parquet(tmp_path / "in" / "a.parquet", table)
    score(tmp_path, "out", checkpoint)
    line = error_line(nightscore("diff", str(folder / "one"), str(tmp_path / "out")))
    assert "the outputs are not of the same rows: in row 0 of 'a.parquet' the column 'id' is 'r0-0' in" in line
    write_parquet(tmp_path / "in" / "a.parquet", {"id": [1], "text": ["one row"]})
    shutil.rmtree(tmp_path / "out")
    score(tmp_path, "out", checkpoint)
    line = error_line(nightscore("diff", str(folder / "one"), str(tmp_path / "out")))
    assert "have no shard in common" in line
