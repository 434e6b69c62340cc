"""Globs: what fsspec and the standard library take, less what is hidden."""

import fnmatch
import tempfile
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline_lib.errors import InputError
from pipeline_lib.inputs.discovery.listing import find_shards
from pipeline_lib.storage.urls import location_of
from tests.helpers.shard_listing import notices_of, shards_of, touch

FOLDERS = st.sampled_from(["a", "b", "ds=20", "ds=21", "_tmp", ".git", "_y=1", "x[1]", "{a,b}", "a b"])


FILES = st.sampled_from(["1.parquet", "2.parquet", "a.parquet", "_tmp.parquet", ".hid.parquet", "x[1].csv"])


TREES = st.sets(
    st.tuples(st.lists(FOLDERS, max_size=3), FILES).map(lambda at: "/".join([*at[0], at[1]])), max_size=12
)


PARTS = st.sampled_from(
    [
        "*",
        "**",
        "?",
        "a",
        "ds=2?",
        "ds=2[0-9]",
        "[!a]*",
        "[a-b]",
        "_*",
        "_tmp",
        ".*",
        "[_.]*",
        "{a,b}",
        "x[[]1]",
        "*=*",
    ]
)


LAST = st.sampled_from(
    ["*", "**", "*.parquet", "?.parquet", "[0-9].parquet", "[!0-9]*", "_*", ".hid.parquet", "*.c[rs]v", "x[[]*"]
)


PATTERNS = st.tuples(st.lists(PARTS, max_size=3), LAST).map(lambda at: "/".join([*at[0], at[1]]))


# A folder in which brackets leave something open before the first star does.
OVERSIGHT = example(
    tree={"ds=20/1.parquet", "ds=21/a.parquet", "ds=20/_tmp.parquet", "ds=20/.hid.parquet"},
    pattern="ds=2[0-9]/*.parquet",
)


def matches(parts: list[str], names: list[str]) -> bool:
    """Tell by the standard library's `fnmatch` whether a pattern takes a path, `**` being any number of folders."""
    if not parts:
        return not names
    if parts == ["**"]:  # it stands for something in the folder before
        return bool(names) and not any(hidden(names[at:]) for at in range(len(names)))
    if parts[0] == "**":
        skipped = matches(parts[1:], names)
        return skipped or bool(names and not hidden(names) and matches(parts, names[1:]))
    if not names or (hidden(names) and parts[0][0] in "*?["):
        return False
    return fnmatch.fnmatchcase(names[0], parts[0]) and matches(parts[1:], names[1:])


def hidden(names: list[str]) -> bool:
    value_folder = len(names) > 1 and names[0].startswith("_") and "=" in names[0]
    return names[0][0] in "_." and not value_folder


def listed(root: str, pattern: str) -> set[str]:
    """Return what the job takes, below a root; none is an error of its own."""
    try:
        found = find_shards([f"{root}/{pattern}"], dated=False).stamps
    except InputError as error:
        if "no file matches" in str(error) or "no such file" in str(error):
            return set()
        raise
    base = location_of(root).url
    return {path[len(base) + 1 :] for path in found}


def check_tree(fs: Any, root: str, tree: set[str], pattern: str) -> None:
    base = str(fs._strip_protocol(root))
    theirs = {str(path)[len(base) + 1 :] for path in fs.glob(f"{base}/{pattern}")} & tree
    wanted = {path for path in tree if matches(pattern.split("/"), path.split("/"))}
    assert wanted <= theirs
    assert listed(root, pattern) == wanted


@given(tree=TREES, pattern=PATTERNS)
@OVERSIGHT
@settings(max_examples=300)
def test_a_glob_takes_on_a_disk_what_fnmatch_takes_less_what_is_hidden(tree: set[str], pattern: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        for path in tree:
            Path(root, path).parent.mkdir(parents=True, exist_ok=True)
            Path(root, path).touch()
        check_tree(fsspec.filesystem("file"), root, tree, pattern)


@given(tree=TREES, pattern=PATTERNS)
@OVERSIGHT
@settings(max_examples=200)
def test_a_glob_takes_in_another_file_system_what_fnmatch_takes_less_what_is_hidden(
    tree: set[str], pattern: str
) -> None:
    fs, root = fsspec.filesystem("memory"), f"memory://globs-{uuid.uuid4().hex}"
    for path in tree:
        fs.pipe_file(f"{root}/{path}", b"x")
    check_tree(fs, root, tree, pattern)
    if tree:
        fs.rm(root, recursive=True)


@pytest.mark.slow
def test_a_glob_takes_on_s3_what_fnmatch_takes_less_what_is_hidden(s3_server: str) -> None:
    del s3_server
    import s3fs

    fs = s3fs.S3FileSystem()
    fs.mkdir("globs")

    @given(tree=TREES, pattern=PATTERNS)
    @OVERSIGHT
    @settings(max_examples=25)
    def check(tree: set[str], pattern: str) -> None:
        fs.invalidate_cache()
        root = f"s3://globs/{uuid.uuid4().hex}"
        for path in tree:
            fs.pipe_file(f"{root}/{path}", b"x")
        check_tree(fs, root, tree, pattern)

    check()


def test_a_name_with_magic_characters_that_exists_is_that_name(tmp_path: Path) -> None:
    touch(tmp_path, "day[1]/a*.parquet", "day1/b.parquet")
    assert shards_of(tmp_path, "day[1]") == ["day[1]/a*.parquet"]
    assert shards_of(tmp_path, "day[1]/a*.parquet") == ["day[1]/a*.parquet"]
    assert shards_of(tmp_path, "day[[]1]/*") == ["day[1]/a*.parquet"]
    assert shards_of(tmp_path, "no*such/../day[1]") == ["day[1]/a*.parquet"]
    assert shards_of(tmp_path, "no*such/../day1/b.parquet") == ["day1/b.parquet"]
    with pytest.raises(InputError, match=r"no file matches .*a '\[' in a name is written '\[\[\]' in a glob"):
        shards_of(tmp_path, "day[2]/*")


def test_a_glob_expands_folders_that_are_named_like_shards(tmp_path: Path) -> None:
    touch(tmp_path, "in/x.parquet/part-0.snappy.parquet", "in/x.parquet/_SUCCESS", "in/x.parquet/.part-0.crc")
    touch(tmp_path, "in/y.parquet", "in/x.parquet/_temporary/0/part-1.parquet")
    assert shards_of(tmp_path, "in/*.parquet") == ["in/x.parquet/part-0.snappy.parquet", "in/y.parquet"]


def test_a_glob_that_ends_with_a_slash_takes_all_in_its_folders(tmp_path: Path) -> None:
    touch(tmp_path, "ds=20/a.parquet", "ds=21/more/b.parquet", "ds=21/_tmp/c.parquet", "d.parquet")
    assert shards_of(tmp_path, "ds=*/") == ["ds=20/a.parquet", "ds=21/more/b.parquet"]
    assert shards_of(tmp_path, "*/") == ["ds=20/a.parquet", "ds=21/more/b.parquet"]


def test_other_folders_that_a_glob_matches_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.parquet", "old/b.parquet", "old/deep/c.parquet")
    assert shards_of(tmp_path, "*") == ["a.parquet"]
    assert "matches 1 folder whose files are not read, as 'old'; end it with '/'" in notices_of(tmp_path, "*")
    assert notices_of(tmp_path, "**") == notices_of(tmp_path, "**/*") == ""
    with pytest.raises(InputError, match=r"no file matches .*matches 1 folder whose files are not read"):
        shards_of(tmp_path, "o*")


@pytest.mark.parametrize("pattern", ["in/**.parquet", "in/a**/*.parquet", "in/***/x.parquet"])
def test_a_glob_that_fsspec_can_not_read_is_refused(pattern: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'\*\*' stands for whole folders"):
        shards_of(tmp_path, pattern)
