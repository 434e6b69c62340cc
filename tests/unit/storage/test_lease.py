"""One run at a time: a slow owner keeps its lease; that of a dead owner is freed without a person's help."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs

from pipeline_lib.errors import BusyError
from pipeline_lib.machine.processes import identity
from pipeline_lib.storage import compare_and_swap, lease
from pipeline_lib.storage.lease import leased
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.records import LEASE, LeaseRecord
from pipeline_lib.storage.urls import location_of
from tests.helpers.crashes import crash_holding_a_lease
from tests.helpers.stores.s3_proxy import S3Proxy
from tests.helpers.stores.servers import rclone_server, s3_at


def ignore(_: str) -> None:
    """Ignore the reasons for a wait."""


@pytest.fixture(params=["disk", "s3", "memory"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An output folder on a disk, in a bucket, and in a store that can't compare and swap."""
    if request.param == "disk":
        return str(tmp_path / "out")
    if request.param == "memory":
        return f"memory://{tmp_path.name}/out"
    request.getfixturevalue("s3_server")
    import s3fs

    bucket = f"lease-{os.getpid()}-{abs(hash(tmp_path)) % 10**9}"
    s3fs.S3FileSystem().mkdir(bucket)
    return f"s3://{bucket}/out"


def test_a_second_run_is_turned_away_and_a_later_one_is_not(output: str) -> None:
    with (
        leased(output, ignore),
        pytest.raises(BusyError, match=r"run \w{8} \(process \d+ on .*\) is at work"),
        leased(output, ignore),
    ):
        raise AssertionError
    with leased(output, ignore) as held:
        held.confirm()
    lease = location_of(output) / LEASE
    assert not lease.fs.exists(lease.path)


@pytest.mark.slow
def test_the_lease_of_a_process_that_was_killed_is_free_at_once(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    crash_holding_a_lease(output)
    assert (tmp_path / "out" / LEASE).exists()
    with leased(output, pytest.fail):
        pass


def lease_of_another_machine(output: str) -> tuple[Location, compare_and_swap.TaggedContent]:
    """Leave the lease of a run on another machine."""
    file = location_of(output) / LEASE
    record = LeaseRecord(run="elsewhere", host="other", pid=1, process="other/1-1")
    written = compare_and_swap.write(file, record.to_bytes(), None)
    assert written
    return file, written


def test_the_lease_of_another_machine_is_free_when_it_no_longer_beats(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SECONDS_TO_LIVE", 2.0)
    lease_of_another_machine(output)
    said: list[str] = []
    with leased(output, said.append):
        pass
    assert "waiting up to 2 s for a sign of life" in said[0]


def test_leases_that_were_seen_together_are_waited_for_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = [str(tmp_path / name) for name in ("a", "b")]
    for output in outputs:
        lease_of_another_machine(output)
    seen = [lease.sighting(output, {LEASE}) for output in outputs]
    monkeypatch.setattr(lease, "SECONDS_TO_LIVE", 2.0)
    said: list[str] = []
    for output, each in zip(outputs, seen, strict=True):
        with leased(output, said.append, each):
            pass
    (only,) = said
    assert "/a'" in only, "the wait for the first lease was one for the second too"


def test_a_lease_that_beats_after_it_was_seen_is_waited_for_anew(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    file, current = lease_of_another_machine(output)
    seen = lease.sighting(output, {LEASE})
    assert seen
    record = LeaseRecord.model_validate_json(current.content)
    assert compare_and_swap.write(file, record.model_copy(update={"beat": 1}).to_bytes(), current)
    long_ago = lease.Sighting(seen.content, seen.at - lease.SECONDS_TO_LIVE)
    timer = threading.Timer(1.5, file.remove)
    timer.start()
    said: list[str] = []
    with leased(output, said.append, long_ago):
        pass
    timer.join()
    assert "waiting up to 60 s" in said[0]


def test_the_lease_of_another_machine_is_left_alone_while_it_beats(output: str) -> None:
    file, current = lease_of_another_machine(output)

    def beat() -> None:
        record = LeaseRecord.model_validate_json(current.content)
        compare_and_swap.write(file, record.model_copy(update={"beat": 1}).to_bytes(), current)

    timer = threading.Timer(0.5, beat)
    timer.start()
    with pytest.raises(BusyError, match="elsewher"), leased(output, ignore):
        raise AssertionError
    timer.join()


def test_an_owner_whose_lease_was_taken_is_refused(output: str) -> None:
    file = location_of(output) / LEASE
    with leased(output, ignore) as held:
        held.confirm()
        now = compare_and_swap.read(file)
        assert now
        taken = LeaseRecord(run="another", host="other", pid=1, process=None)
        assert compare_and_swap.write(file, taken.to_bytes(), now)
        with pytest.raises(BusyError, match="taken for dead"):
            held.confirm()
    left = compare_and_swap.read(file)
    assert left is not None, "the lease of the other one was removed"
    assert b"another" in left.content


@pytest.mark.parametrize("output", ["disk", "s3"], indirect=True)
def test_of_many_that_try_to_take_a_lease_one_gets_it(output: str) -> None:
    file = location_of(output) / LEASE
    won: list[int] = []

    def try_to_take(runner: int) -> None:
        record = LeaseRecord(run=str(runner), host="here", pid=runner, process=None)
        if compare_and_swap.write(file, record.to_bytes(), None):
            won.append(runner)

    threads = [threading.Thread(target=try_to_take, args=(runner,)) for runner in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


@pytest.mark.parametrize("pid", [1, os.getppid()], ids=["the first process", "our parent"])
def test_a_lease_that_names_a_process_which_always_lives_does_not_block_forever(
    pid: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SECONDS_TO_LIVE", 1.0)
    planted = LeaseRecord(run="planted", host="here", pid=pid, process=identity(pid))
    (tmp_path / LEASE).write_bytes(planted.to_bytes())
    with leased(str(tmp_path), ignore):
        pass


@pytest.fixture(params=["rclone", "proxy"])
def unconditional_output(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An output on a server that accepts conditions and ignores them: rclone's, and one behind a proxy."""
    if request.param == "proxy":
        server = request.getfixturevalue("s3_server")
        with (
            S3Proxy(server, without=frozenset({"if-match", "if-none-match"})) as proxy,
            s3_at(proxy.endpoint),
        ):
            yield bucket_for(tmp_path)
        return
    (tmp_path / "served").mkdir()
    with rclone_server(tmp_path / "served") as endpoint, s3_at(endpoint):
        yield bucket_for(tmp_path)


def bucket_for(tmp_path: Path) -> str:
    """Make a bucket and return the URL of an output in it."""
    bucket = f"lease-{abs(hash(tmp_path)) % 10**9}"
    s3fs.S3FileSystem().mkdir(bucket)
    return f"s3://{bucket}/out"


@pytest.mark.slow
def test_on_a_server_that_ignores_conditions_one_of_two_runs_gets_the_lease_and_says_why(
    unconditional_output: str,
) -> None:
    said: list[str] = []
    confirmed: list[int] = []

    def try_to_take(runner: int) -> None:
        with contextlib.suppress(BusyError), leased(unconditional_output, said.append) as held:
            time.sleep(3)
            held.confirm()
            confirmed.append(runner)
            time.sleep(1)
            held.confirm()

    threads = [threading.Thread(target=try_to_take, args=(runner,)) for runner in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(confirmed) == 1
    assert "ignores conditional writes" in said[0]
    assert location_of(unconditional_output).files() == {}


def test_on_a_server_that_ignores_conditions_an_owner_whose_lease_was_taken_is_refused(
    unconditional_output: str,
) -> None:
    file = location_of(unconditional_output) / LEASE
    with leased(unconditional_output, ignore) as held:
        taken = LeaseRecord(run="another", host="other", pid=1, process=None)
        file.write(taken.to_bytes())
        with pytest.raises(BusyError, match="taken for dead"):
            held.confirm()
    assert b"another" in (file.read() or b"")


def test_a_server_with_conditional_writes_causes_no_message(s3_server: str, tmp_path: Path) -> None:
    del s3_server
    said: list[str] = []
    with leased(bucket_for(tmp_path), said.append):
        assert said == []


def test_a_lease_that_nobody_can_read_does_not_block_forever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SECONDS_TO_LIVE", 1.0)
    (tmp_path / LEASE).write_bytes(b"half a rec")
    with leased(str(tmp_path), ignore):
        pass
