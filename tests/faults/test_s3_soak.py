"""The soak of S3 and the table of requests do what they say, for a few rounds and slices."""

from collections import Counter
from pathlib import Path

import pytest

from tests.faults import soak_s3
from tests.helpers.stores import s3_requests

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("server", soak_s3.SERVERS)
def test_rounds_of_kills_and_faults_lose_nothing_and_leave_nothing(server: str, tmp_path: Path) -> None:
    figures = soak_s3.soak_server(server, 2, 7, tmp_path)
    assert figures["rounds published with the bytes of an undisturbed run"] == 2
    assert sum(figures["faults"].values()) > 5
    for what in ("rows lost", "rows twice", "uploads left open", "files left staged"):
        assert figures[what] == 0


def test_requests_are_counted_by_command_and_kind(tmp_path: Path) -> None:
    with s3_requests.proxied("moto", tmp_path) as proxy:
        asked = s3_requests.counted(8, tmp_path, proxy)
    kinds = {name: Counter(request.kind for request in requests) for name, requests in asked.items()}
    written = {
        name: sum(request.kind == "PutObject" and "/part-" in request.path for request in requests)
        for name, requests in asked.items()
    }
    # A part and a receipt of each slice, of which the killed run had written four, and a file of each shard.
    assert (written["run"], written["run after a kill in the middle"]) == (2 * 8 + 4, 2 * 4 + 4)
    assert kinds["run"]["CopyObject"] == kinds["run after a kill in the middle"]["CopyObject"] == 4
    assert kinds["run with nothing to do"].total() < 25
    assert kinds["plan with nothing to do"]["PutObject"] == 0
    assert "| run with nothing to do |" in s3_requests.table(asked)
