"""Shards of two outputs are paired by content first, then by their path below the input."""

from collections.abc import Mapping
from typing import Any

import pytest

from pipeline_lib.comparing.shard_pairs import ShardPairs, pair_shards
from pipeline_lib.storage.records import Manifest, ShardRecord

Shards = Mapping[str, tuple[str, int]]
"""Content and rows by path."""


def manifest(shards: Shards, path: Any = "/in") -> Manifest:
    """Return a manifest of these shards."""
    records = [
        ShardRecord(number=number, path=name, size=1, content=content, rows=rows, scored=rows, rejected=0)
        for number, (name, (content, rows)) in enumerate(shards.items())
    ]
    rows = sum(record.rows for record in records)
    return Manifest(
        version="0" * 16,
        fingerprint={},
        model={},
        settings={"input": {"path": path}},
        libraries={},
        columns={},
        rows=rows,
        scored=rows,
        rejected=0,
        drift=None,
        shards=records,
        slices=[],
    )


def pairs(first: Shards, second: Shards, *roots: Any) -> list[tuple[str, int, int, bool]]:
    """Return the pairs, where no shard is left."""
    found = pair_shards(*(manifest(*each) for each in zip((first, second), roots or ("/in", "/in"), strict=True)))
    assert found == ShardPairs(found.pairs)
    return [(pair.name, pair.first, pair.second, pair.is_same_file) for pair in found.pairs]


def test_the_same_content_is_the_same_shard_wherever_it_lies() -> None:
    first = {"/in/a.parquet": ("sha256:a", 3), "/in/b.parquet": ("sha256:b", 3)}
    second = {"/copy/z.parquet": ("sha256:b", 3), "/copy/y.parquet": ("sha256:a", 3)}
    assert pairs(first, second, "/in", "/copy") == [("a.parquet", 0, 1, True), ("b.parquet", 1, 0, True)]


def test_of_several_shards_of_the_same_content_the_path_below_the_input_decides() -> None:
    first = {"/in/x/a.parquet": ("sha256:a", 3), "/in/y/a.parquet": ("sha256:a", 3)}
    second = {"/copy/y/a.parquet": ("sha256:a", 3), "/copy/x/a.parquet": ("sha256:a", 3)}
    assert pairs(first, second, "/in", "/copy/") == [("x/a.parquet", 0, 1, True), ("y/a.parquet", 1, 0, True)]


@pytest.mark.parametrize("root", ["s3://bucket/in", "s3://bucket/in/*.parquet", ["s3://bucket/in/a.parquet"]])
def test_a_copy_in_a_bucket_is_paired_by_its_path_and_rows(root: Any) -> None:
    first, second = {"/in/a.parquet": ("sha256:a", 3)}, {"s3://bucket/in/a.parquet": ("etag:e", 3)}
    assert pairs(first, second, "/in", root) == [("a.parquet", 0, 0, False)]


def test_a_shard_with_other_rows_is_paired_with_none_and_named() -> None:
    first = {"/in/a.parquet": ("sha256:a", 3), "/in/b.parquet": ("sha256:b", 3)}
    second = {"/in/a.parquet": ("sha256:c", 4), "/in/b.parquet": ("sha256:b", 3), "/in/n.parquet": ("sha256:n", 1)}
    found = pair_shards(manifest(first), manifest(second))
    assert [pair.name for pair in found.pairs] == ["b.parquet"]
    assert (found.only_in_first, found.only_in_second) == (["a.parquet"], ["a.parquet", "n.parquet"])


def test_files_of_one_name_in_two_folders_keep_apart() -> None:
    first = {"/one/a.parquet": ("sha256:a", 3), "/two/a.parquet": ("sha256:b", 3)}
    second = {"/one/a.parquet": ("sha256:c", 3), "/two/a.parquet": ("sha256:d", 3)}
    roots = ["/one", "/two"]
    assert pairs(first, second, roots, roots) == [("/one/a.parquet", 0, 0, False), ("/two/a.parquet", 1, 1, False)]
