"""Make sample reviews, as many as wanted: realistic in length and mess, and the same on every machine.

A row depends on nothing but the seed and its number, so the first 1,000 rows are the same reviews however many
there are, in however many shards, and in whatever format. The files are the same byte for byte wherever the same
versions of pyarrow and zlib write them. The sample in configs/sample was made by

    python -m jobs.sample.make_reviews --out configs/sample/reviews --rows 2000 --shards 3
    python -m jobs.sample.make_reviews --out out/csv --rows 200 --format csv
    mv out/csv/reviews-00000.csv configs/sample/reviews.csv

A CSV file quotes every text: nothing between two commas is null, and "" is an empty text. A reader that does not
look at quotes, such as Python's, takes both for an empty text.
"""

import gzip
from contextlib import ExitStack
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NoReturn

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import typer

from jobs.sample.author import SCHEMA, Author

_ROWS_IN_MEMORY = 20_000


class Format(StrEnum):
    """How shards are written; the value ends their names."""

    PARQUET = "parquet"
    CSV = "csv"
    CSV_GZ = "csv.gz"
    TSV = "tsv"


def write_shard(author: Author, path: Path, rows: range, rows_in_memory: int = _ROWS_IN_MEMORY) -> None:
    """Write the reviews with these numbers to a file; a row group has as many rows as fit in memory."""
    with ExitStack() as stack:
        file: Any = stack.enter_context(path.open("wb"))
        if path.suffix == ".gz":
            file = stack.enter_context(gzip.GzipFile("", "wb", 6, file, mtime=0))
        if path.suffix == ".parquet":
            shard = pq.ParquetWriter(file, SCHEMA, compression="zstd", use_dictionary=["product"])
        else:
            delimiter = "\t" if path.suffix == ".tsv" else ","
            shard = pa_csv.CSVWriter(file, SCHEMA, write_options=pa_csv.WriteOptions(delimiter=delimiter))
        stack.enter_context(shard)
        for first in rows[::rows_in_memory]:
            shard.write(author.write(first, min(first + rows_in_memory, rows.stop)))


def clear(out: Path, *, force: bool) -> None:
    """Make the folder, or take away the shards that an earlier run left in it."""
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()) and not force:
        _fail(f"{out} is not empty; --force replaces the shards in it")
    for old in out.glob("reviews-[0-9]*"):
        old.unlink()


def _fail(message: str, code: int = 2) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def main(  # noqa: PLR0913, PLR0917 - each option is an argument to typer
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder that gets the shards; new or empty.")],
    rows: Annotated[int, typer.Option(min=0, help="Reviews in all shards together.")] = 2000,
    shards: Annotated[int, typer.Option(min=1, help="Files of about equal size.")] = 1,
    kind: Annotated[Format, typer.Option("--format", help="How shards are written.")] = Format.PARQUET,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Another seed makes other reviews.")] = 7,
    null_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of reviews without a text.")] = 0.015,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace the shards that are in the folder.")] = False,
) -> None:
    """Make sample reviews of shop articles: the same options make the same reviews on every machine."""
    if shards > max(rows, 1):
        _fail(f"--shards {shards} is more than --rows {rows}: each shard needs a row")
    try:
        clear(out, force=force)
        author = Author(seed, null_rate)
        cuts = [rows * shard // shards for shard in range(shards + 1)]
        for shard, (first, end) in enumerate(pairwise(cuts)):
            write_shard(author, out / f"reviews-{shard:05d}.{kind}", range(first, end))
    except OSError as error:
        _fail(f"{out} can't be written: {error}", code=1)
    print(f"wrote {rows:,} reviews in {shards:,} {kind} shards to {out}")


if __name__ == "__main__":
    app()
