"""Locations: the same operations give the same result on a disk, in S3 and in any other file system of fsspec."""

import os
import uuid
from pathlib import Path

import pytest
import s3fs

from pipeline_lib.errors import SettingsError
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.urls import location_of


@pytest.fixture(params=["disk", "s3", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    """A folder that does not exist yet."""
    if request.param == "s3":
        request.getfixturevalue("s3_server")
        bucket = f"location-{uuid.uuid4().hex}"
        s3fs.S3FileSystem().mkdir(bucket)
        return location_of(f"s3://{bucket}/out")
    return location_of(str(tmp_path / "out") if request.param == "disk" else f"memory://{uuid.uuid4().hex}/out")


def test_a_file_is_read_as_it_was_written(folder: Location) -> None:
    file = folder / "a/b.json"
    assert file.read() is None
    for content in (b"first", b"second, and longer"):
        file.write(content)
        assert file.read() == content
        assert file.stamp().size == len(content)
    with file.open() as opened:
        assert opened.read() == b"second, and longer"
    assert location_of(file.url).read() == b"second, and longer"


def test_a_folder_lists_its_files_by_their_relative_paths(folder: Location) -> None:
    assert (folder.files(), folder.names()) == ({}, [])
    for name in ("b.txt", "a/c.txt", "a/[d]*?.txt"):
        (folder / name).write(b"x" * 3)
    assert sorted(folder.files()) == ["a/[d]*?.txt", "a/c.txt", "b.txt"]
    assert {stamp.size for stamp in folder.files().values()} == {3}
    assert folder.names() == ["a", "b.txt"]


def test_a_file_is_moved_and_copied_under_exactly_the_given_name(folder: Location) -> None:
    (folder / "a*.txt").write(b"a")
    (folder / "ab.txt").write(b"b")
    (folder / "a*.txt").move_to(folder / "sub/[x].txt")
    assert sorted(folder.files()) == ["ab.txt", "sub/[x].txt"]
    assert (folder / "sub/[x].txt").read() == b"a"
    if not folder.is_local:
        (folder / "ab.txt").copy_to(folder / "sub/c?.txt")
        assert (folder / "sub/c?.txt").read() == b"b"


def test_a_folder_is_removed_with_everything_in_it_and_nothing_else(folder: Location) -> None:
    for name in ("a*/b.txt", "a*/c/d.txt", "ab/e.txt"):
        (folder / name).write(b"x")
    for _ in range(2):  # a folder or a file that is missing is no error
        (folder / "a*").remove_tree()
        (folder / "missing.txt").remove()
        assert sorted(folder.files()) == ["ab/e.txt"]


def test_a_link_on_a_disk_is_listed_and_removed_but_never_read(tmp_path: Path) -> None:
    (tmp_path / "target.txt").write_bytes(b"kept")
    (tmp_path / "out").mkdir()
    link = location_of(str(tmp_path / "out")) / "link.txt"
    os.symlink(tmp_path / "target.txt", link.path)
    assert not location_of(str(tmp_path / "out")).files()["link.txt"].regular
    with pytest.raises(PermissionError, match="is a link"):
        link.read()
    link.remove()
    assert (tmp_path / "target.txt").read_bytes() == b"kept"


def test_a_failed_write_leaves_no_partial_file_on_a_disk(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        (location_of(str(tmp_path)) / "taken").write(b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize("url", ["s4://bucket/in", "zip://a.csv::/data/in.zip"])
def test_a_url_that_can_not_be_opened_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=url.partition(":")[0]):
        location_of(url)


def test_two_colons_in_a_path_are_no_chain_of_urls(tmp_path: Path) -> None:
    assert location_of(str(tmp_path / "a::b")).path == str(tmp_path / "a::b")
    assert location_of("s3://bucket/a::b").path == "bucket/a::b"
