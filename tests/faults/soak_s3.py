"""Rounds of kills and faults against a real S3 server; `python -m tests.faults.soak s3` starts them.

Every round publishes one of two versions in place of the other one, through a proxy that fails requests of all
kinds, with runs that are killed at random moments. Then one run without faults must find nothing to do.
"""

import contextlib
import hashlib
import io
import multiprocessing
import os
import random
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import s3fs
import yaml
from rich.console import Console

from pipeline_lib import pipeline
from pipeline_lib.errors import NightscoreError
from pipeline_lib.execution.local_executor import LocalExecutor
from pipeline_lib.reporting.outcome import Outcome
from pipeline_lib.reporting.terminal.progress import Progress
from pipeline_lib.settings.settings_file import load_settings
from tests.helpers.checkpoints import tiny_checkpoints
from tests.helpers.stores.s3_faults import RandomFaults
from tests.helpers.stores.s3_proxy import S3Proxy
from tests.helpers.stores.servers import access_to, moto_server, rclone_server, s3_at
from tests.helpers.watching.published import Poller, read_whole_version

BUCKET = "soak"
SERVERS = ("moto", "rclone")
VERSIONS: dict[str, list[str]] = {"plain": [], "with logits": ["output.logits=true"]}
MOST_RUNS = 40
# About as many as a run has that is not disturbed, so that a kill finds it at any moment.
MOST_REQUESTS = 100
LONGEST_RUN_SECONDS = 180
# One round in so many runs on Ray, where a model actor is killed too; the others run in one process.
ROUNDS_A_RAY = 10
_BUG = 70
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.faults.soak_s3", "torch", "transformers.models.bert.modeling_bert"])


@dataclass
class Store:
    """A server, and the proxy before it."""

    endpoint: str
    proxy: S3Proxy
    config: Path
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def fs(self) -> s3fs.S3FileSystem:
        """The bucket without the proxy."""
        return s3fs.S3FileSystem(endpoint_url=self.endpoint, use_listings_cache=False)

    def published(self) -> dict[str, str]:
        """Return the hash of every file but metrics and records of runs."""
        files = {path.removeprefix(f"{BUCKET}/out/"): path for path in self.fs.find(f"{BUCKET}/out")}
        return {
            name: hashlib.sha256(self.fs.cat_file(path)).hexdigest()
            for name, path in files.items()
            if not name.startswith(("_runs/", "_metrics.json", "_report.html"))
        }

    def ids(self) -> Counter[str]:
        """Return how often each id was scored or rejected."""
        fs = self.fs
        paths = [*fs.glob(f"{BUCKET}/out/part-*.parquet"), *fs.glob(f"{BUCKET}/out/_rejects/*.parquet")]
        tables = [pq.read_table(io.BytesIO(fs.cat_file(path)), columns=["id"]) for path in paths]
        return Counter(name for table in tables for name in table.column("id").to_pylist())

    def open_uploads(self) -> int:
        """Return the number of uploads of several parts that were begun and not ended."""
        with contextlib.suppress(FileNotFoundError):  # rclone's answer where there are none
            return len(self.fs.call_s3("list_multipart_uploads", Bucket=BUCKET).get("Uploads", ()))
        return 0


class Reader(Poller):
    """Reads the output of a store again and again, without the proxy."""

    def __init__(self, store: Store) -> None:
        super().__init__(Path(), pause=0.5)
        self._store = store

    def read(self) -> tuple[str, int] | None:
        """Return the version and its rows, or None if it was not to be had."""
        fs = self._store.fs

        def success() -> bytes | None:
            with contextlib.suppress(FileNotFoundError):
                return bytes(fs.cat_file(f"{BUCKET}/out/_SUCCESS"))
            return None

        def parts() -> list[pa.Table]:
            paths = fs.glob(f"{BUCKET}/out/part-*.parquet")
            return [pq.read_table(io.BytesIO(fs.cat_file(path))) for path in paths]

        return read_whole_version(success, parts)


@contextlib.contextmanager
def served(server: str, home: Path) -> Iterator[Store]:
    """Start a server of a kind with an input in it, and a proxy before it; write the settings of the job."""
    (home / "served").mkdir(parents=True)
    started = moto_server() if server == "moto" else rclone_server(home / "served")
    with started as endpoint, S3Proxy(endpoint) as proxy, s3_at(proxy.endpoint):
        store = Store(endpoint, proxy, home / "job.yaml")
        store.fs.mkdir(BUCKET)
        for shard, rows in enumerate((40, 25)):
            texts = [None if row % 13 == 0 else f"text {row} good " * (row % 7 + 1) for row in range(rows)]
            content = io.BytesIO()
            pq.write_table(pa.table({"id": [f"{shard}-{row}" for row in range(rows)], "text": texts}), content)
            store.fs.pipe_file(f"{BUCKET}/in/{shard}.parquet", content.getvalue())
        tiny_checkpoints.build(tiny_checkpoints.Recipe("bert"), home / "model")
        settings = {
            "model": {"name": str(home / "model")},
            "input": {"path": f"s3://{BUCKET}/in"},
            "output": {"path": f"s3://{BUCKET}/out", "rows_per_file": 20},
            "limits": {"max_reject_rate": 0.2},
            "tuning": {"rows_per_slice": 10, "model_actors": 2},
        }
        store.config.write_text(yaml.safe_dump(settings))
        yield store


def run_here(config: Path, version: str) -> Outcome:
    """Run the job in this process, without Ray."""
    settings = load_settings(config, VERSIONS[version])
    return pipeline.run(settings, None, Progress(Console(quiet=True)), LocalExecutor(), replace=True)


def _run(config: Path, version: str, endpoint: str, said: Path) -> None:
    """Run the job in a process that may be killed; it ends with the exit code of the command."""
    os.environ |= access_to(endpoint)
    try:
        run_here(config, version)
    except NightscoreError as error:
        said.write_text(f"{type(error).__name__}: {error}")
        raise SystemExit(error.exit_code) from None
    except BaseException:  # noqa: BLE001 - told to the process that waits for this one
        said.write_text(traceback.format_exc())
        raise SystemExit(_BUG) from None


def start(store: Store, version: str, said: Path) -> ForkServerProcess:
    """Start a run in a process of its own."""
    process = _PROCESSES.Process(target=_run, args=(store.config, version, store.proxy.endpoint, said))
    process.start()
    return process


def _lives_until(store: Store, run: ForkServerProcess, requests: int) -> bool:
    """Wait until there were so many more requests; return whether the run has not ended before."""
    end = len(store.proxy.seen) + requests
    while run.is_alive() and len(store.proxy.seen) < end:
        time.sleep(0.005)
    return run.is_alive()


def until_published(store: Store, version: str, rng: random.Random) -> None:
    """Start runs, and kill some of them at random moments, until one ends well."""
    for _ in range(MOST_RUNS):
        with tempfile.TemporaryDirectory() as folder:
            said = [Path(folder, f"{number}.txt") for number in range(1 + (rng.random() < 0.1))]
            runs = [start(store, version, each) for each in said]
            if rng.random() < 0.6 and _lives_until(store, runs[0], rng.randrange(MOST_REQUESTS)):
                runs[0].kill()
                store.counts["kills of the driver"] += 1
            for run, words in zip(runs, said, strict=True):
                run.join(LONGEST_RUN_SECONDS)
                spoken = words.read_text() if words.exists() else ""
                store.counts[f"runs that ended with {run.exitcode}"] += 1
                assert run.exitcode in (0, 1, 4, -signal.SIGKILL), f"exit {run.exitcode}: {spoken}"
                assert run.exitcode != 4 or len(runs) == 2, spoken
            if any(run.exitcode == 0 for run in runs):
                return
    raise AssertionError(f"not published by {MOST_RUNS} runs: {store.counts}")


def until_published_on_ray(store: Store, version: str, rng: random.Random) -> None:
    """Start the command with Ray, and kill a model actor or all processes, until it ends well."""
    from tests.faults import soak  # which imports this module

    random.seed(rng.random())
    options = [word for setting in VERSIONS[version] for word in ("--set", setting)]
    for attempt in range(MOST_RUNS):
        run = soak.start(store.config, *options)
        victim = rng.choice(["the driver and all its processes", "a model actor", "a model actor"])
        if attempt < 3 and soak.alive_after_a_while(run, victim) and soak.strike(run, victim):
            store.counts[f"kills of {victim}"] += 1
        said, _ = run.communicate(timeout=LONGEST_RUN_SECONDS)
        store.counts[f"runs on Ray that ended with {run.returncode}"] += 1
        assert run.returncode in (0, 1, -signal.SIGKILL), f"exit {run.returncode}: {said}"
        assert "Traceback" not in said, said
        if run.returncode == 0:
            return
    raise AssertionError(f"not published by {MOST_RUNS} runs on Ray: {store.counts}")


def _soak(store: Store, rounds: int, rng: random.Random, expected: dict[str, dict[str, str]]) -> Counter[str]:
    """Publish in rounds; return how many rows and files are lost, there twice or left over."""
    ids, left, began = store.ids(), Counter[str](), time.monotonic()
    for number in range(rounds):
        version = list(VERSIONS)[number % 2]
        store.proxy.answer = RandomFaults(rng.randrange(10**9))
        on_ray = number % ROUNDS_A_RAY == ROUNDS_A_RAY - 1
        (until_published_on_ray if on_ray else until_published)(store, version, rng)
        store.proxy.answer = lambda _method, _path: None
        again = run_here(store.config, version)
        assert (again.status, again.rows_this_run) == ("COMPLETE", 0), again
        now = store.published()
        differ = sorted(set(now.items()) ^ set(expected[version].items()))
        assert not differ, f"other files after {dict(store.counts)}: {differ[:9]}"
        lost, twice = ids - store.ids(), store.ids() - ids
        left.update({"lost": lost.total(), "twice": twice.total(), "uploads": store.open_uploads()})
        left["staged"] += sum("_staging/" in name for name in now)
        print(f"{time.monotonic() - began:6.0f} s: {number + 1:3} rounds {dict(store.counts)}", flush=True)
    return left


def soak_server(server: str, rounds: int, seed: int, home: Path) -> dict[str, Any]:
    """Return the figures of some rounds on one server."""
    rng, began = random.Random(seed), time.monotonic()
    with served(server, home / server) as store:
        expected: dict[str, dict[str, str]] = {}
        for version in VERSIONS:
            run_here(store.config, version)
            expected[version] = store.published()
        with Reader(store) as reader:
            left = _soak(store, rounds, rng, expected)
        assert not +left, left
        assert not reader.faults, reader.faults[:3]
        requests = len(store.proxy.seen)
        faults = dict(sorted(store.proxy.faults().items()))
    return {
        "rounds published with the bytes of an undisturbed run": rounds,
        **dict(sorted(store.counts.items())),
        "requests": requests,
        "faults": faults,
        "rows lost": left["lost"],
        "rows twice": left["twice"],
        "uploads left open": left["uploads"],
        "files left staged": left["staged"],
        "reads of a whole version": sum(reader.whole.values()),
        "reads that had to wait": reader.waits,
        "reads of anything else": len(reader.faults),
        "seconds": round(time.monotonic() - began),
    }


def s3(rounds: int, servers: tuple[str, ...], seed: int, home: Path) -> dict[str, Any]:
    """Return the figures of some rounds on each of some servers."""
    return {"seed": seed, **{server: soak_server(server, rounds, seed, home) for server in servers}}
