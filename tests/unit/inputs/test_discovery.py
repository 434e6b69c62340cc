"""Which files the input is: folders, lists and links, and nothing passed over without a word."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline_lib.errors import InputError, InputNotReadyError, SettingsError
from pipeline_lib.inputs.discovery.listing import find_shards
from pipeline_lib.inputs.discovery.output_in_input import refuse_output_in_input
from pipeline_lib.planning.discovery import discover
from tests.conftest import ROOT, Runner, SettingsMaker, write_parquet
from tests.helpers.shard_listing import notices_of, shards_of, touch


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


def test_folders_globs_and_lists_name_each_shard_once(tmp_path: Path) -> None:
    for name in ("b/2.parquet", "a/1.parquet", "_old/3.parquet", ".hidden.parquet"):
        write_parquet(tmp_path / name, {"text": ["x"]})
    (tmp_path / "a" / "notes.txt").write_text("no shard")
    (tmp_path / "c.csv.gz").write_bytes(b"")
    found = find_shards([str(tmp_path), f"{tmp_path}/*/*.parquet", f"{tmp_path}/a/1.parquet"], dated=False).stamps
    assert [path.removeprefix(f"{tmp_path}/") for path in found] == ["a/1.parquet", "b/2.parquet", "c.csv.gz"]


def test_a_file_with_brackets_in_its_name_is_a_file_and_no_glob(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "day[1].parquet", {"text": ["x"]})
    assert list(find_shards([str(path)], dated=False).stamps) == [str(path)]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothing", "no such file or folder: '{}/nothing'"),
        ("shards/one.parqet", r"did you mean '{}/shards/one.parquet'"),
        ("shards/*.csv", r"no file matches '{}/shards/\*.csv'"),
        ("empty", "the folder '{}/empty' holds no shard"),
        ("notes.txt", "'{}/notes.txt' is not one of .parquet, "),
    ],
)
def test_a_path_that_leads_nowhere_is_explained(path: str, message: str, tmp_path: Path) -> None:
    write_parquet(tmp_path / "shards" / "one.parquet", {"text": ["x"]})
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=message.format(tmp_path)):
        find_shards([f"{tmp_path}/{path}"], dated=False)


def test_a_missing_day_can_be_waited_for(tmp_path: Path) -> None:
    with pytest.raises(InputNotReadyError) as caught:
        find_shards([f"{tmp_path}/ds=2026-11-22"], dated=True)
    assert caught.value.exit_code == 5
