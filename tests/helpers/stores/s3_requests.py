"""Count the requests and bytes by which each command asks a real S3 server, for a job of 20 slices.

python -m tests.helpers.stores.s3_requests --server moto
"""

import argparse
import contextlib
import io
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import s3fs
import yaml

from tests.conftest import ROOT
from tests.helpers.checkpoints import tiny_checkpoints
from tests.helpers.command_line import nightscore
from tests.helpers.stores.s3_proxy import Fault, Request, S3Proxy
from tests.helpers.stores.servers import moto_server, rclone_server, s3_at

BUCKET = "requests"
SHARDS = 4
ROWS_A_SLICE = 10
KINDS = ("GetObject", "HeadObject", "ListObjects", "PutObject", "CopyObject", "DeleteObject", "DeleteObjects")
COLUMNS = ("command", "requests", *KINDS, "bytes read", "bytes written")


def counted(slices: int, home: Path, proxy: S3Proxy) -> dict[str, list[Request]]:
    """Return the requests of each command, in the order in which a night has them."""
    config = _job(slices, home)
    asked: dict[str, list[Request]] = {}

    def count(name: str, work: Callable[[], object]) -> None:
        proxy.seen.clear()
        work()
        asked[name] = list(proxy.seen)

    count("plan of a new output", lambda: _command("plan", config))
    count("run", lambda: _command("run", config))
    count("run with nothing to do", lambda: _command("run", config))
    count("plan with nothing to do", lambda: _command("plan", config))
    count("verify", lambda: _command("verify", config))
    count("status", lambda: _command("status", config))
    s3fs.S3FileSystem().rm(f"{BUCKET}/out", recursive=True)
    _kill_in_the_middle(config, slices, proxy)
    count("run after a kill in the middle", lambda: _command("run", config))
    return asked


def table(asked: dict[str, list[Request]]) -> str:
    """Return the figures as a table of Markdown."""
    lines = [_row(COLUMNS), _row(["---"] * len(COLUMNS))]
    for name, requests in asked.items():
        kinds = Counter(request.kind for request in requests)
        counts = [str(kinds[kind]) for kind in KINDS]
        read, written = sum(each.answered for each in requests), sum(each.sent for each in requests)
        lines.append(_row([name, str(len(requests)), *counts, f"{read:,}", f"{written:,}"]))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _job(slices: int, home: Path) -> Path:
    """Write the shards to the bucket, and the settings to a file."""
    fs = s3fs.S3FileSystem()
    fs.mkdir(BUCKET)
    rows = slices // SHARDS * ROWS_A_SLICE
    for shard in range(SHARDS):
        content = io.BytesIO()
        texts = [f"review {row} of {shard}" for row in range(rows)]
        pq.write_table(pa.table({"id": range(rows), "text": texts}), content)
        fs.pipe_file(f"{BUCKET}/in/{shard}.parquet", content.getvalue())
    tiny_checkpoints.build(tiny_checkpoints.Recipe("bert"), home / "model")
    settings = {
        "model": {"name": str(home / "model")},
        "input": {"path": f"s3://{BUCKET}/in"},
        "output": {"path": f"s3://{BUCKET}/out"},
        "tuning": {"rows_per_slice": ROWS_A_SLICE},
    }
    (home / "job.yaml").write_text(yaml.safe_dump(settings))
    return home / "job.yaml"


def _command(name: str, config: Path) -> None:
    ended = nightscore(name, str(config), *(["--local"] if name in {"plan", "run"} else []))
    if ended.returncode:
        raise RuntimeError(f"{name} ended with {ended.returncode}: {ended.stderr}")


def _kill_in_the_middle(config: Path, slices: int, proxy: S3Proxy) -> None:
    """Kill a run when half of its slices are staged."""
    command = [sys.executable, "-m", "jobs.score", "run", str(config), "--local"]
    staged: set[str] = set()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:

        def answer(method: str, path: str) -> Fault | None:
            if method == "PUT" and "/part-" in path and path.endswith(".json"):
                staged.add(path)
            if len(staged) <= slices // 2:
                return None
            run.kill()
            return Fault.RESET

        proxy.answer = answer
        run.wait()
    proxy.answer = lambda _method, _path: None


@contextlib.contextmanager
def proxied(server: str, home: Path) -> Iterator[S3Proxy]:
    """Start a server of a kind, and a proxy before it where libraries look for S3."""
    (home / "served").mkdir()
    started = moto_server() if server == "moto" else rclone_server(home / "served")
    with started as endpoint, S3Proxy(endpoint) as proxy, s3_at(proxy.endpoint):
        yield proxy


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", choices=["moto", "rclone"], default="moto")
    parser.add_argument("--slices", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, proxied(given.server, Path(folder)) as proxy:
        print(f"{given.slices} slices of {SHARDS} shards, {given.server}\n")
        print(table(counted(given.slices, Path(folder), proxy)))


if __name__ == "__main__":
    main()
