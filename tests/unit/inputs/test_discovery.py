"""Which files the input is: what fsspec takes less what is hidden, and nothing passed over without a word."""

import fnmatch
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline_lib.errors import InputError, SettingsError
from pipeline_lib.inputs.discovery.file_kinds import file_kind
from pipeline_lib.inputs.discovery.listing import find_shards
from pipeline_lib.inputs.discovery.output_in_input import refuse_output_in_input
from pipeline_lib.inputs.hive_partitions import partition_values
from pipeline_lib.planning.discovery import discover
from pipeline_lib.settings.settings import InputSettings
from pipeline_lib.storage.urls import location_of
from tests.conftest import ROOT, Runner, SettingsMaker, read_output, write_parquet

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


def shards_of(folder: Path, path: str = "") -> list[str]:
    found = find_shards([f"{folder}/{path}" if path else str(folder)], dated=False)
    return [name.removeprefix(f"{folder}/") for name in found.stamps]


def notices_of(folder: Path, path: str = "") -> str:
    notices = find_shards([f"{folder}/{path}" if path else str(folder)], dated=False).notices
    return "; ".join(notices).replace(f"{folder}/", "")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_name_with_magic_characters_that_exists_is_that_name(tmp_path: Path) -> None:
    touch(tmp_path, "day[1]/a*.parquet", "day1/b.parquet")
    assert shards_of(tmp_path, "day[1]") == ["day[1]/a*.parquet"]
    assert shards_of(tmp_path, "day[1]/a*.parquet") == ["day[1]/a*.parquet"]
    assert shards_of(tmp_path, "day[[]1]/*") == ["day[1]/a*.parquet"]
    assert shards_of(tmp_path, "no*such/../day[1]") == ["day[1]/a*.parquet"]
    assert shards_of(tmp_path, "no*such/../day1/b.parquet") == ["day1/b.parquet"]
    with pytest.raises(InputError, match=r"no file matches .*a '\[' in a name is written '\[\[\]' in a glob"):
        shards_of(tmp_path, "day[2]/*")


def test_files_that_are_links_are_taken_by_folders_and_globs_alike(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/a.parquet")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.parquet").symlink_to(tmp_path / "elsewhere" / "a.parquet")
    assert shards_of(tmp_path, "in") == shards_of(tmp_path, "in/*.parquet") == ["in/a.parquet"]


def test_a_link_to_a_folder_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.parquet", "other/b.parquet")
    (tmp_path / "in" / "more").symlink_to(tmp_path / "other")
    assert shards_of(tmp_path, "in") == ["in/a.parquet"]
    assert "'in/more': links to folders are not followed" in notices_of(tmp_path, "in").replace(f"{tmp_path}/", "")
    assert shards_of(tmp_path, "in/more") == ["in/more/b.parquet"]


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


@pytest.mark.parametrize("path", ["in", "in/*/*.parquet", "in/**", "in/[!b]*/x.parquet"])
def test_a_folder_that_may_not_be_listed_is_refused_and_not_left_out(path: str) -> None:
    program = (
        "import os, sys\n"
        "from pipeline_lib.inputs.discovery.listing import find_shards\n"
        "os.setuid(65534)\n"
        "try: print(list(find_shards([sys.argv[1]], dated=False).stamps))\n"
        "except Exception as error: print(error)"
    )
    if os.geteuid():
        pytest.skip("only root may act as another user")
    with tempfile.TemporaryDirectory(dir="/tmp") as root:
        os.chmod(root, 0o755)  # noqa: S103
        touch(Path(root), "in/a.parquet", "in/locked/b.parquet", "in/b/x.parquet", "in/_locked/c.parquet")
        for folder in ("in/locked", "in/_locked"):
            Path(root, folder).chmod(0)
        command = [sys.executable, "-c", program, f"{root}/{path}"]
        said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert f"the folder '{root}/in/locked' can't be read: permission denied" in said


@pytest.mark.parametrize("pattern", ["in/**.parquet", "in/a**/*.parquet", "in/***/x.parquet"])
def test_a_glob_that_fsspec_can_not_read_is_refused(pattern: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'\*\*' stands for whole folders"):
        shards_of(tmp_path, pattern)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.parquet", "shard"),
        ("A.PQ", "shard"),
        ("a.parq", "shard"),
        ("a.csv.gz", "shard"),
        ("a.jsonl", "data"),
        ("a.csv.bz2", "data"),
        ("a.csv.zst", "data"),
        ("a.parquet.gz", "data"),
        ("a.orc", "data"),
        ("a.zip", "data"),
        ("part-00000", "data"),
        ("000000_0", "data"),
        ("notices.jsonl", "data"),
        ("authors.json", "data"),
        ("readme.csv.gz", "shard"),
        ("license-plates", "data"),
        ("README", "companion"),
        ("dataset_info.json", "companion"),
        ("LICENSE.txt", "companion"),
        ("notes.md", "companion"),
        ("a.parquet.crc", "companion"),
        ("SHA256SUMS", "companion"),
        ("notes.txt", "unknown"),
        ("a.parquet.tmp", "unknown"),
        ("a.csv~", "unknown"),
    ],
)
def test_every_name_is_of_one_kind(name: str, kind: str) -> None:
    assert file_kind(f"some/where/{name}") == kind


@pytest.mark.parametrize("other", ["b.jsonl", "b.csv.bz2", "deep/b.orc", "part-00000", "b.parquet.gz", "b.xlsx"])
@pytest.mark.parametrize("path", ["in", "in/**"])
def test_data_that_would_be_missed_is_an_error_that_names_it(other: str, path: str, tmp_path: Path) -> None:
    touch(tmp_path, "in/a.csv", f"in/{other}")
    with pytest.raises(
        InputError, match=rf"holds '.*/in/{other}', which look like data.*such as '.*/in/\*\*/\*\.csv'"
    ):
        shards_of(tmp_path, path)
    assert shards_of(tmp_path, "in/**/*.csv") == ["in/a.csv"]


def test_companions_are_passed_over_and_unknown_kinds_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.csv", "README", "notes.md", "_SUCCESS", "_metadata", ".a.csv.crc", "b.csv.tmp", "SHA256SUMS")
    assert shards_of(tmp_path) == ["a.csv"]
    assert notices_of(tmp_path) == "not read, since their kind is not known: 'b.csv.tmp'"


def test_parquet_by_its_other_endings_is_read(tmp_path: Path, settings_for: SettingsMaker) -> None:
    write_parquet(tmp_path / "in" / "a.pq", {"text": ["x"]})
    write_parquet(tmp_path / "in" / "b.PARQ", {"text": ["x"]})
    assert len(discover(settings_for()).headers) == 2
    (tmp_path / "in" / "c.pq").write_text("no Parquet")
    with pytest.raises(InputError, match=r"c\.pq' is not a whole Parquet file"):
        discover(settings_for())


@pytest.mark.parametrize(
    ("log", "shard", "table"),
    [
        ("in/_delta_log/00000000000000000000.json", "in/part-0.parquet", "a Delta table"),
        ("in/_delta_log/00000000000000000000.json", "in/ds=1/h=2/part-0.parquet", "a Delta table"),
        ("in/sub/_delta_log/0.json", "in/sub/part-0.parquet", "a Delta table"),
        ("in/metadata/v1.metadata.json", "in/data/ds=1/0.parquet", "an Iceberg table"),
        ("in/metadata/00000-ab.metadata.json", "in/data/0.parquet", "an Iceberg table"),
        ("in/.hoodie/hoodie.properties", "in/0.parquet", "a Hudi table"),
    ],
)
def test_a_table_with_a_log_is_refused_wherever_it_is_entered(
    log: str, shard: str, table: str, tmp_path: Path
) -> None:
    touch(tmp_path, log, shard)
    for path in ("in", shard.rpartition("/")[0], f"{shard.rpartition('/')[0]}/*.parquet", "in/**/*.parquet"):
        with pytest.raises(InputError, match=rf"holds files of {table}.*export the table.*one by one"):
            shards_of(tmp_path, path)
    assert shards_of(tmp_path, shard) == [shard]


@pytest.mark.parametrize("path", ["in", "in/*.parquet", "in/b.parquet"])
@pytest.mark.parametrize("what", ["named pipe", "socket", "device"])
def test_what_is_no_regular_file_is_refused_by_name(what: str, path: str, tmp_path: Path) -> None:
    touch(tmp_path, "in/a.parquet")
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    odd = folder / "odd"
    with socket.socket(socket.AF_UNIX) as listener:
        if what == "named pipe":
            os.mkfifo(odd)
        elif what == "socket":
            listener.bind(str(odd))
        else:
            odd.symlink_to("/dev/zero")
        (tmp_path / "in" / "b.parquet").symlink_to(odd)
        with pytest.raises(InputError, match=rf"in/b\.parquet' is a {what}; shards must be regular files"):
            shards_of(tmp_path, path)
    shutil.rmtree(folder)


def test_a_pipe_in_the_input_blocks_nothing(tmp_path: Path, settings_for: SettingsMaker) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["x"]})
    os.mkfifo(tmp_path / "in" / "b.csv")
    with pytest.raises(InputError, match=r"b\.csv' is a named pipe"):
        discover(settings_for())


@pytest.mark.parametrize(
    ("path", "output"),
    [
        ("{}/in", "{}/in/out"),
        ("{}/*/*.parquet", "{}/out"),
        ("{}/ou[st]/*.parquet", "{}/out"),
        ("{}/**", "{}/a/b/out"),
        ("{}/*", "{}/out.parquet"),
        ("{}/o*/", "{}/out"),
        ("{}/_*/*.parquet", "{}/_out"),
    ],
)
def test_an_output_that_the_input_would_take_is_refused(path: str, output: str, tmp_path: Path) -> None:
    touch(tmp_path, "in/a.parquet")
    with pytest.raises(SettingsError, match=r"lies in input\.path"):
        refuse_output_in_input([path.format(tmp_path)], output.format(tmp_path))


@pytest.mark.parametrize(
    ("path", "output"),
    [
        ("{}/in", "{}/in/_out"),
        ("{}/*/*.parquet", "{}/_out"),
        ("{}/in[0-9]/*.parquet", "{}/out"),
        ("{}/o*", "{}/out"),
    ],
)
def test_an_output_that_the_input_would_not_take_is_not(path: str, output: str, tmp_path: Path) -> None:
    touch(tmp_path, "in/a.parquet")
    refuse_output_in_input([path.format(tmp_path)], output.format(tmp_path))


def test_a_name_with_two_colons_is_a_name_and_no_chain(
    tmp_path: Path, s3_server: str, settings_for: SettingsMaker, run_here: Runner
) -> None:
    del s3_server
    import s3fs

    fs = s3fs.S3FileSystem()
    fs.mkdir("colons")
    table = pa.table({"text": ["good", "bad"]})
    write_parquet(tmp_path / "in" / "a::b.parquet", table)
    fs.put(str(tmp_path / "in" / "a::b.parquet"), "colons/in::1/a::b.parquet")
    for path, output in ((f"{tmp_path}/in", f"{tmp_path}/o::t"), ("s3://colons/in::1", "s3://colons/out::1")):
        outcome = run_here(settings_for(input={"path": path}, output={"path": output}))
        assert (outcome.status, outcome.scored) == ("PUBLISHED", 2)
    assert fs.exists("colons/out::1/_SUCCESS")
    assert (tmp_path / "o::t" / "_SUCCESS").exists()


HIVE = "{}/ds=2026-11-22/city=S%C3%A3o%20Paulo%2FSul/a.parquet"


def test_values_in_folders_are_decoded() -> None:
    kept = InputSettings(path="in", partition_columns="all")
    assert partition_values(HIVE, kept) == {"ds": "2026-11-22", "city": "São Paulo/Sul"}
    assert partition_values("/x/a=__HIVE_DEFAULT_PARTITION__/b=/c", kept) == {"a": None, "b": ""}
    assert partition_values("/x/a=1=2/b", kept) == {"a": "1=2"}
    some = InputSettings(path="in", partition_columns=["city", "ds"])
    assert list(partition_values(HIVE, some)) == ["city", "ds"]
    assert partition_values(HIVE, InputSettings(path="in")) == {}
    for path in ("/x/a=1/a=2/b", "/x/a=%FF/b"):
        with pytest.raises(InputError):
            partition_values(path, kept)


def test_columns_in_folders_are_kept_as_text_beside_the_others(
    tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in/ds=01/city=__HIVE_DEFAULT_PARTITION__/a.parquet", {"id": [1], "text": ["x"]})
    (tmp_path / "in" / "ds=02").mkdir()
    (tmp_path / "in" / "ds=02" / "b.csv").write_text("id,text\n2,y\n")
    options = {"csv": {"column_types": {"id": "int64"}}}
    outcome = run_here(settings_for(input={"partition_columns": "all", "keep_columns": ["id"], **options}))
    assert outcome.status == "PUBLISHED"
    rows = read_output(tmp_path / "out").select(["id", "ds", "city"]).to_pylist()
    assert sorted(rows, key=lambda row: row["id"]) == [
        {"id": 1, "ds": "01", "city": None},
        {"id": 2, "ds": "02", "city": None},
    ]


def test_columns_in_folders_that_are_not_kept_are_named(tmp_path: Path, settings_for: SettingsMaker) -> None:
    write_parquet(tmp_path / "in" / "ds=01" / "hour=2" / "a.parquet", {"text": ["x"]})
    assert "the folders 'ds=...', 'hour=...' are not kept as columns; see input.partition_columns" in (
        discover(settings_for()).notices
    )
    spelled = {"path": str(tmp_path / "in" / "ds=01"), "partition_columns": ["hour"]}
    assert discover(settings_for(input=spelled)).notices == ()
    with pytest.raises(InputError, match=r"has no column 'ds'; see input\.partition_columns"):
        discover(settings_for(input={"keep_columns": ["ds"]}))


@pytest.mark.parametrize(
    ("columns", "wanted", "message"),
    [
        (["text", "DS"], "all", r"has a column 'DS' of its own beside the folder 'ds=...'"),
        (["text"], ["day"], r"has no folder 'day=\.\.\.'"),
        (["text"], ["dss"], r"has no folder 'dss=\.\.\.'; did you mean 'ds'"),
    ],
)
def test_columns_in_folders_that_can_not_be_kept_are_refused(
    columns: list[str], wanted: Any, message: str, tmp_path: Path, settings_for: SettingsMaker
) -> None:
    write_parquet(tmp_path / "in" / "ds=01" / "a.parquet", {name: ["x"] for name in columns})
    with pytest.raises(InputError, match=message):
        discover(settings_for(input={"partition_columns": wanted}))


def test_a_folder_is_no_text_column(tmp_path: Path, settings_for: SettingsMaker) -> None:
    write_parquet(tmp_path / "in" / "note=x" / "a.parquet", {"text": ["x"]})
    with pytest.raises(InputError, match="'note' is a folder of"):
        discover(settings_for(input={"partition_columns": "all", "text_column": "note"}))
