"""The program that makes sample reviews, and the sample that it made for the project."""

import csv
import io
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from jobs.sample.author import SCHEMA, STEPS, Author
from jobs.sample.make_reviews import Format, app, write_shard
from jobs.sample.phrase_pools import pools
from jobs.sample.phrases import BLANK, ODD

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "configs" / "sample"
# Only an unquoted empty field is null, and neither "NA" nor a line break in quotes means anything.
AS_WRITTEN = pa_csv.ConvertOptions(
    column_types=SCHEMA, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
)


def make(out: Path, *arguments: object) -> Result:
    return CliRunner().invoke(app, ["--out", str(out), *map(str, arguments)])


def made(out: Path, *arguments: object) -> Path:
    result = make(out, *arguments)
    assert result.exit_code == 0, result.output
    return out


def shards(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def read(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        table = pq.read_table(path)
    else:
        parsing = pa_csv.ParseOptions(delimiter="\t" if path.suffix == ".tsv" else ",", newlines_in_values=True)
        table = pa_csv.read_csv(path, parse_options=parsing, convert_options=AS_WRITTEN)
    assert table.schema.equals(SCHEMA)
    return plain(table)


def plain(table: pa.Table) -> pa.Table:
    """Return a table whose products are spelled out, because equal dictionaries may number them differently."""
    return table.set_column(1, "product", table["product"].cast(pa.string()))


def read_all(folder: Path) -> pa.Table:
    return pa.concat_tables(map(read, shards(folder)))


def reviews(rows: int, first: int = 0, seed: int = 7, null_rate: float = 0.015) -> pa.Table:
    return plain(pa.Table.from_batches([Author(seed, null_rate).write(first, rows)]))


@pytest.fixture(scope="module")
def many() -> pa.Table:
    return reviews(20_000)


@pytest.mark.parametrize("kind", list(Format))
def test_the_same_arguments_make_the_same_bytes(tmp_path: Path, kind: Format) -> None:
    arguments = ["--rows", 60, "--shards", 2, "--format", kind]
    one, other = made(tmp_path / "one", *arguments), made(tmp_path / "other", *arguments)
    assert [path.name for path in shards(one)] == [f"reviews-00000.{kind}", f"reviews-00001.{kind}"]
    assert [path.read_bytes() for path in shards(one)] == [path.read_bytes() for path in shards(other)]


@pytest.mark.parametrize("kind", list(Format))
def test_the_first_rows_are_the_same_whatever_the_total_the_shards_and_the_format(
    tmp_path: Path, kind: Format
) -> None:
    folder = made(tmp_path / "some", "--rows", 500, "--shards", 7, "--format", kind)
    assert read_all(folder).slice(0, 300).equals(reviews(300))


def test_a_row_is_the_same_wherever_a_batch_starts() -> None:
    assert reviews(900, first=333).equals(reviews(900).slice(333))


def test_another_seed_makes_other_reviews() -> None:
    assert reviews(50)["text"] != reviews(50, seed=8)["text"]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_shards_hold_as_many_rows_as_asked_for_in_about_equal_parts(data: st.DataObject) -> None:
    rows = data.draw(st.integers(0, 60))
    parts = data.draw(st.integers(1, max(rows, 1)))
    kind = data.draw(st.sampled_from(Format))
    with tempfile.TemporaryDirectory() as folder:
        out = made(Path(folder), "--rows", rows, "--shards", parts, "--format", kind)
        sizes = [read(path).num_rows for path in shards(out)]
        assert (sum(sizes), len(sizes)) == (rows, parts)
        assert max(sizes) - min(sizes) <= 1
        ids = read_all(out)["review_id"].to_pylist()
    assert ids == [f"R{number:010d}" for number in range(rows)]


def test_a_big_shard_has_several_row_groups_and_the_same_rows(tmp_path: Path) -> None:
    shard = tmp_path / "reviews.parquet"
    write_shard(Author(7, 0.015), shard, range(100), 40)
    assert pq.ParquetFile(shard).num_row_groups == 3
    assert read(shard).equals(reviews(100))


def test_the_csv_reader_of_python_finds_the_texts_with_null_ones_empty(tmp_path: Path) -> None:
    (shard,) = shards(made(tmp_path / "out", "--rows", 2000, "--format", "csv"))
    with io.StringIO(shard.read_bytes().decode(), newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert list(rows[0]) == SCHEMA.names
    assert [row["text"] for row in rows] == [text or "" for text in reviews(2000)["text"].to_pylist()]


def test_lengths_are_skewed_from_one_word_to_pages(many: pa.Table) -> None:
    words = sorted(len(text.split()) for text in many["text"].drop_null().to_pylist())
    mean, median = sum(words) / len(words), words[len(words) // 2]
    assert 60 < mean < 85
    assert median < 0.6 * mean
    assert 0.02 < words.count(1) / len(words) < 0.08
    assert 0.005 < sum(count > 512 for count in words) / len(words) < 0.03
    assert 1500 < words[-1] < 5000


def test_some_texts_are_null_blank_or_odd(many: pa.Table) -> None:
    texts = many["text"].to_pylist()
    assert 0.010 < texts.count(None) / len(texts) < 0.020
    assert 0.003 < sum(texts.count(blank) for blank in BLANK) / len(texts) < 0.008
    assert set(texts) >= {*BLANK, *ODD}


@pytest.mark.parametrize("rate", [0, 1])
def test_the_null_rate_may_be_none_or_all(rate: int) -> None:
    assert reviews(400, null_rate=rate)["text"].null_count == 400 * rate


def test_the_null_rate_changes_no_other_text() -> None:
    full, holed = reviews(400, null_rate=0)["text"], reviews(400, null_rate=0.5)["text"]
    assert holed.null_count > 100
    assert full.filter(holed.is_valid()).equals(holed.drop_null())


def test_some_long_texts_are_exact_copies(many: pa.Table) -> None:
    long = [text for text in many["text"].drop_null().to_pylist() if len(text) > 100]
    assert 0.03 < 1 - len(set(long)) / len(long) < 0.08


@pytest.mark.parametrize(
    "sign",
    ["<br /><br />", "&amp;", "👍", "です", "جدا", "очень", "बहुत", "είμαι", "很", "\t", "\n\n", "\r\n", '""'],
)
def test_texts_hold_markup_emoji_other_scripts_and_awkward_characters(many: pa.Table, sign: str) -> None:
    assert pc.any(pc.match_substring(many["text"], sign, ignore_case=True)).as_py()


@pytest.mark.parametrize(
    ("ending", "stars"),
    [("Highly recommended.", {4, 5}), ("Not bad, not great.", {3}), ("I want my money back.", {1, 2})],
)
def test_what_a_review_comes_to_agrees_with_its_stars(many: pa.Table, ending: str, stars: set[int]) -> None:
    ends_so = pc.ends_with(many["text"], ending)
    assert set(many.filter(ends_so)["rating"].drop_null().to_pylist()) == stars


def test_columns_stay_in_their_ranges_and_only_the_nullable_ones_have_nulls(many: pa.Table) -> None:
    assert set(many["rating"].drop_null().to_pylist()) == {1, 2, 3, 4, 5}
    assert pc.min(many["helpful_votes"]).as_py() == 0
    assert pc.min(many["price"]).as_py() > 0
    assert {time.year for time in many["reviewed_at"].to_pylist()} == {2026}
    assert len(set(many["product"].to_pylist())) >= 12
    with_nulls = [name for name in many.column_names if many[name].null_count]
    assert with_nulls == ["rating", "title", "text", "helpful_votes"]


def test_every_phrase_is_filled_in() -> None:
    assert [phrase for phrase in pools().phrases if "{" in phrase or "|" in phrase] == []


def test_no_step_shares_a_factor_with_the_size_of_a_pool() -> None:
    sizes = {size for sizes in pools().size for size in sizes}
    assert [(step, size) for step in STEPS for size in sizes if math.gcd(int(step), size) > 1] == []


def test_the_sample_in_parquet_is_what_the_program_makes() -> None:
    sample = read_all(SAMPLE / "reviews")
    assert len(shards(SAMPLE / "reviews")) == 3
    assert sample.equals(reviews(2000))


def test_the_sample_in_csv_is_what_the_program_makes() -> None:
    assert read(SAMPLE / "reviews.csv").equals(reviews(200))


def test_help_names_every_option_and_format() -> None:
    command = [sys.executable, "-m", "jobs.sample.make_reviews", "--help"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for word in ("--out", "--rows", "--shards", "--format", "parquet", "csv.gz", "tsv", "--seed", "--null-rate"):
        assert word in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "2", "--shards", "3"], "error: --shards 3 is more than --rows 2: each shard needs a row"),
        (["--format", "xml"], "'xml' is not one of 'parquet', 'csv', 'csv.gz', 'tsv'"),
        (["--rows", "-1"], "'--rows'"),
        (["--rows", "many"], "'--rows'"),
        (["--shards", "0"], "'--shards'"),
        (["--null-rate", "1.5"], "'--null-rate'"),
        (["--seed", "-1"], "'--seed'"),
    ],
)
def test_bad_arguments_exit_2_with_a_message_and_make_nothing(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = make(tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_a_folder_with_anything_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    result = make(tmp_path)
    assert result.exit_code == 2
    assert result.output == f"error: {tmp_path} is not empty; --force replaces the shards in it\n"
    assert [path.name for path in shards(tmp_path)] == ["notes.txt"]


def test_force_replaces_the_shards_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    made(tmp_path, "--rows", 9, "--shards", 3, "--force")
    made(tmp_path, "--rows", 5, "--format", "csv", "--force")
    assert [path.name for path in shards(tmp_path)] == ["notes.txt", "reviews-00000.csv"]


def test_a_folder_that_cannot_be_made_is_a_fault_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = make(tmp_path / "file" / "out")
    assert result.exit_code == 1
    assert result.output.startswith("error: ")
    assert result.output.count("\n") == 1
