"""Measure what reading costs: bytes and seconds of planning a large shard, and of all its slices in their order."""

import csv
import json
import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Self

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from pipeline_lib.inputs.formats.dispatch import ShardRows, lone_shard
from pipeline_lib.inputs.shards import Shard
from pipeline_lib.settings.sections.input import CsvSettings

_ROWS_PER_SLICE = 1024
_ROWS_AT_A_TIME = 10_000
_PROTOCOL = "counted"
_SENTENCE = "the kettle boils fast and pours well but its lid jams after a week so I sent it back"
_WORDS = _SENTENCE.split(" ")


class CountedFiles(LocalFileSystem):  # type: ignore[misc] # fsspec has no types
    """Files of this machine that count the bytes which are read of them."""

    protocol = _PROTOCOL
    bytes_read = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        stripped: str = super()._strip_protocol(path.removeprefix(f"{_PROTOCOL}://"))
        return stripped

    def _open(self, path: str, mode: str = "rb", **_: Any) -> "_Counted":
        return _Counted(open(path, mode))


class _Counted:
    """An open file that counts what is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        content = self._file.read(size)
        CountedFiles.bytes_read += len(content)
        return content

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes into a buffer."""
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def read_costs(folder: Path, rows: int) -> Iterator[dict[str, Any]]:
    """Yield the figures of a shard of each format.

    Args:
        folder: where the shards are written, one at a time.
        rows: of each.
    """
    fsspec.register_implementation(_PROTOCOL, CountedFiles, clobber=True)
    for name, write in _FORMATS.items():
        path = folder / name
        write(path, rows)
        yield {"format": name.partition(".")[2], "rows": rows, "bytes": path.stat().st_size, **_costs(path)}
        path.unlink()


def _costs(path: Path) -> dict[str, Any]:
    url, settings = f"{_PROTOCOL}://{path}", CsvSettings()

    def measured(work: Callable[[], Any]) -> tuple[Any, float, int]:
        CountedFiles.bytes_read, began = 0, time.perf_counter()
        return work(), time.perf_counter() - began, CountedFiles.bytes_read

    def read(shard: Shard) -> int:
        rows, count = ShardRows(shard, ["text"], settings), 0
        for part in shard.slices:
            count += rows(part).num_rows
        rows.close()
        return count

    shard, plan_seconds, plan_bytes = measured(lambda: lone_shard(url, settings, _ROWS_PER_SLICE))
    count, read_seconds, read_bytes = measured(lambda: read(shard))
    return {
        "read_rows": count,
        "slices": len(shard.slices),
        "plan_seconds": plan_seconds,
        "plan_bytes": plan_bytes,
        "read_seconds": read_seconds,
        "read_bytes": read_bytes,
    }


def _rows(rows: int) -> Iterator[tuple[int, str]]:
    """Yield ids and texts of about ninety characters, some with quotes, commas and line breaks."""
    for row in range(rows):
        start, more = row % len(_WORDS), row % 97
        text = " ".join(islice(chain(_WORDS[start:], _WORDS), 17)) + f" {row * 7919}"
        yield row, f'{text}, "{more}"\nand more' if more % 10 == 0 else text


def _write_parquet(path: Path, rows: int) -> None:
    ids, texts = zip(*_rows(rows), strict=True)
    pq.write_table(pa.table({"id": ids, "text": texts}), path, row_group_size=rows)


def _write_csv(path: Path, rows: int) -> None:
    with fsspec.open(str(path), "wt", compression="infer", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "text"))
        writer.writerows(_rows(rows))


def _write_json_lines(path: Path, rows: int) -> None:
    with path.open("w") as file:
        file.writelines(json.dumps({"id": number, "text": text}) + "\n" for number, text in _rows(rows))


_FORMATS: dict[str, Callable[[Path, int], None]] = {
    "a.parquet": _write_parquet,
    "a.csv": _write_csv,
    "a.csv.gz": _write_csv,
    "a.csv.zst": _write_csv,
    "a.jsonl": _write_json_lines,
}
