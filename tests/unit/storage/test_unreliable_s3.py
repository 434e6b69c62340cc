"""What is asked of a store is done once, and told right, whatever becomes of a request or its answer."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import cast

import pytest
import s3fs

from pipeline_lib.errors import BusyError, FaultError
from pipeline_lib.machine.processes import identity
from pipeline_lib.storage import compare_and_swap, integrity
from pipeline_lib.storage.lease import leased
from pipeline_lib.storage.records import LEASE, FileRecord, LeaseRecord
from pipeline_lib.storage.s3 import S3Location
from pipeline_lib.storage.urls import location_of
from tests.helpers.stores.s3_faults import always, first_times
from tests.helpers.stores.s3_proxy import Fault, S3Proxy
from tests.helpers.stores.servers import rclone_server, s3_at

BUCKET = f"unreliable-{os.getpid()}"


@pytest.fixture(scope="module", params=["moto", pytest.param("rclone", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two real servers, with a bucket each: moto's, and rclone's, which ignores conditions."""
    if request.param == "moto":
        endpoint = request.getfixturevalue("s3_server")
        s3fs.S3FileSystem(endpoint_url=endpoint).mkdir(BUCKET)
        yield endpoint
    else:
        folder = tmp_path_factory.mktemp("served")
        (folder / BUCKET).mkdir()
        with rclone_server(folder) as endpoint:
            yield endpoint


@pytest.fixture
def proxy(server: str) -> Iterator[S3Proxy]:
    """A proxy before the server, where libraries look for it."""
    with S3Proxy(server) as proxy, s3_at(proxy.endpoint):
        yield proxy


@pytest.fixture
def folder(proxy: S3Proxy, request: pytest.FixtureRequest) -> S3Location:
    """An empty folder behind the proxy."""
    del proxy
    return cast("S3Location", location_of(f"s3://{BUCKET}/{abs(hash(request.node.name))}"))


def ignore(_: str) -> None:
    """Ignore the reasons for a wait."""


OPERATIONS: dict[str, tuple[str, Callable[[S3Location], object], object]] = {
    "write": ("PUT", lambda folder: (folder / "new").write(b"new " * 99), "e3b98ff39c4a6d2da2b5b2bcc1a6ebd0"),
    "read": ("GET", lambda folder: (folder / "old").read(), b"old " * 99),
    "list": ("GET", lambda folder: sorted(folder.files()), ["old", "tree/file"]),
    "copy": ("PUT", lambda folder: (folder / "old").copy_to(folder / "copy"), None),
    "remove": ("DELETE", lambda folder: (folder / "old").remove(), None),
    "remove_tree": ("POST", lambda folder: (folder / "tree").remove_tree(), None),
}
AFTERWARDS = {
    "write": {"new", "old", "tree/file"},
    "read": {"old", "tree/file"},
    "list": {"old", "tree/file"},
    "copy": {"copy", "old", "tree/file"},
    "remove": {"tree/file"},
    "remove_tree": {"old"},
}


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.STALE])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_is_asked_is_done_although_a_request_or_its_answer_fails(
    operation: str, fault: Fault, folder: S3Location, proxy: S3Proxy
) -> None:
    method, work, expected = OPERATIONS[operation]
    (folder / "old").write(b"old " * 99)
    (folder / "tree" / "file").write(b"file")
    proxy.answer = first_times(1, method, fault)
    result = work(folder)
    proxy.answer = lambda _method, _path: None
    if operation != "write":  # which returns the ETag where there is an answer
        assert result == expected
    assert set(folder.files()) == AFTERWARDS[operation]
    assert (folder / "new").read() in (None, b"new " * 99)
    assert (folder / "copy").read() in (None, b"old " * 99)


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.CUT_READ])
def test_a_write_none_of_whose_answers_arrives_is_known_to_be_done(
    fault: Fault, folder: S3Location, proxy: S3Proxy
) -> None:
    proxy.answer = always("PUT", fault)
    (folder / "file").write(b"content")
    proxy.answer = lambda _method, _path: None
    assert (folder / "file").read() == b"content"


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.CUT_WRITE, Fault.SLOW_DOWN])
def test_a_write_that_is_never_done_is_a_fault(fault: Fault, folder: S3Location, proxy: S3Proxy) -> None:
    proxy.answer = always("PUT", fault)
    with pytest.raises(Exception, match=r"."):
        (folder / "file").write(b"content")
    proxy.answer = lambda _method, _path: None
    assert (folder / "file").read() in (None, b"cont"[:3])  # rclone keeps the half that came


def test_a_part_of_a_file_is_read_from_a_server_that_tells_the_checksum_of_the_whole(folder: S3Location) -> None:
    (folder / "file").write(bytes(range(100)))
    assert (folder / "file").read_with_etag(90)[0] == bytes(range(90, 100))
    with (folder / "file").open() as file:
        file.seek(50)
        assert file.read(3) == bytes([50, 51, 52])


def test_a_large_file_is_written_by_one_request_so_that_a_kill_leaves_no_open_upload(
    folder: S3Location, proxy: S3Proxy
) -> None:
    content = bytes(120 << 20)
    proxy.seen.clear()
    (folder / "large").write(content)
    assert [request.kind for request in proxy.seen] == ["PutObject"]
    assert folder.files()["large"].size == len(content)


@pytest.mark.parametrize("times", [1, 99])
def test_a_conditional_write_is_done_once_whatever_becomes_of_its_answer(
    times: int, folder: S3Location, proxy: S3Proxy
) -> None:
    file = folder / LEASE
    conditional = compare_and_swap.has_conditional_writes(file)
    proxy.answer = first_times(times, "PUT", Fault.LOST)
    first = compare_and_swap.write(file, b"first", None, conditional=conditional)
    assert first
    proxy.answer = first_times(times, "PUT", Fault.LOST)
    second = compare_and_swap.write(file, b"second", first, conditional=conditional)
    proxy.answer = lambda _method, _path: None
    assert second
    assert second == compare_and_swap.read(file)
    assert compare_and_swap.write(file, b"third", first, conditional=conditional) is None
    assert file.read() == b"second"


def test_a_conflict_with_another_write_under_way_is_tried_again(folder: S3Location, proxy: S3Proxy) -> None:
    proxy.answer = first_times(2, f"PUT /{folder.path}/{LEASE}", (409, "ConditionalRequestConflict"))
    assert compare_and_swap.write(folder / LEASE, b"mine", None)
    assert (folder / LEASE).read() == b"mine"


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.CUT_WRITE])
def test_an_owner_keeps_its_lease_when_a_heartbeat_breaks_off_or_its_answers_are_lost(
    fault: Fault, folder: S3Location, proxy: S3Proxy
) -> None:
    with leased(folder.url, ignore) as held:
        proxy.answer = lambda method, path: None if LEASE not in path else fault if method == "PUT" else Fault.RESET
        with pytest.raises(Exception, match="onnect"):
            held.confirm()
        proxy.answer = lambda _method, _path: None
        held.confirm()
        beat = json.loads((folder / LEASE).read() or b"")["beat"]
        held.confirm()
        assert json.loads((folder / LEASE).read() or b"")["beat"] > beat
    assert (folder / LEASE).read() is None


def test_a_lease_is_taken_although_the_answer_to_its_write_is_lost(folder: S3Location, proxy: S3Proxy) -> None:
    after_write: list[str] = []

    def answer(method: str, path: str) -> Fault | None:
        if not path.endswith(f"/{LEASE}") or len(after_write) > 9:
            return None
        if after_write or method == "PUT":
            after_write.append(method)
        if not after_write:
            return None
        return Fault.LOST if method == "PUT" else Fault.RESET

    proxy.answer = answer
    with leased(folder.url, ignore) as held:
        held.confirm()
    assert len(after_write) > 9
    assert (folder / LEASE).read() is None


def test_a_lease_that_is_half_written_is_read_again_and_names_its_owner(folder: S3Location) -> None:
    record = LeaseRecord(run="another-run", host="here", pid=os.getpid(), process=identity(os.getpid()))
    content = record.to_bytes()
    (folder / LEASE).write(content[: len(content) // 2])
    writer = threading.Timer(0.3, lambda: (folder / LEASE).write(content))
    writer.start()
    with pytest.raises(BusyError, match="run another-"), leased(folder.url, ignore):
        raise AssertionError
    writer.join()


def test_a_lease_whose_reads_are_cut_turns_a_second_run_away_and_is_no_fault(
    folder: S3Location, proxy: S3Proxy
) -> None:
    with leased(folder.url, ignore):
        proxy.answer = first_times(2, f"GET /{folder.path}/{LEASE}", Fault.CUT_READ)
        with pytest.raises(BusyError), leased(folder.url, ignore):
            raise AssertionError
        assert proxy.faults() == {Fault.CUT_READ: 2}


def test_a_lease_is_given_back_without_an_error_even_if_the_store_fails(folder: S3Location, proxy: S3Proxy) -> None:
    with leased(folder.url, ignore):
        proxy.answer = always(LEASE, Fault.RESET)
    proxy.answer = lambda _method, _path: None
    assert (folder / LEASE).read()


def test_a_file_whose_reads_are_cut_is_compared_again(folder: S3Location, proxy: S3Proxy) -> None:
    (folder / "part-00000-000000000.parquet").write(b"no Parquet")
    record = FileRecord(file="part-00000-000000000.parquet", rows=1, bytes=10, sha256="0" * 64)
    file = folder / record.file
    proxy.answer = first_times(1, f"GET /{file.path}", Fault.CUT_READ)
    assert integrity.fault(file, record, file.stamp()) == "has other content than was written"


@pytest.mark.slow
@pytest.mark.parametrize("server", ["moto"], indirect=True)
def test_a_store_that_stays_away_ends_a_comparison_as_a_fault(folder: S3Location, proxy: S3Proxy) -> None:
    (folder / "part-00000-000000000.parquet").write(b"no Parquet")
    record = FileRecord(file="part-00000-000000000.parquet", rows=1, bytes=10, sha256="0" * 64)
    file = folder / record.file
    stamp = file.stamp()
    proxy.answer = always(f"GET /{file.path}", Fault.CUT_READ)
    began = time.monotonic()
    with pytest.raises(FaultError, match="comparing the file failed"):
        integrity.fault(file, record, stamp)
    assert time.monotonic() - began > 1
