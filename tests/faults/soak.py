"""Kill runs at random, many times, and see that nothing is lost, nothing is there twice, and no reader sees half.

python -m tests.faults.soak kills --kills 200     the driver with all its processes, the driver alone, a model
                                                  actor, Ray's processes;
                                                  two versions replace each other all the while
python -m tests.faults.soak races --races 20      two runs at once; then both killed, and a third
python -m tests.faults.soak nodes                 a machine of a cluster removed without grace
python -m tests.faults.soak s3 --rounds 50        kills and failing requests, on two S3 servers
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tests.helpers.checkpoints import tiny_checkpoints
from tests.helpers.processes import kill, process_tree, survivors, workers
from tests.helpers.watching.published import Poller, published_hashes, read_version

ROOT = Path(__file__).parents[2]
ROWS_A_SHARD = 700
LONGEST_RUN_SECONDS = 300
VERSIONS = {"plain": [], "with logits": ["--set", "output.logits=true"]}
VICTIMS = ("the driver and all its processes", "the driver alone", "a model actor", "a process of Ray's")


def make_input(home: Path) -> Path:
    """Write shards with repeated and null ids and rows that can't be scored, and settings with two actors."""
    rng = random.Random(7)
    (home / "in").mkdir(parents=True)
    for shard in range(2):
        texts = [
            None if rng.random() < 0.02 else f"text {row} good " * rng.randint(1, 30) for row in range(ROWS_A_SHARD)
        ]
        ids = [rng.choice([1, 2, row, None]) for row in range(ROWS_A_SHARD)]
        pq.write_table(
            pa.table({"id": [str(i) if i else None for i in ids], "text": texts}), home / f"in/{shard}.parquet"
        )
    lines = [
        f"{rng.choice(['1', '', row])},bad zip {row}" + ",more" * (rng.random() < 0.02)
        for row in range(ROWS_A_SHARD)
    ]
    (home / "in" / "2.csv").write_text("\n".join(["id,text", *lines]) + "\n")
    # Slices are scored longest first, but shards are numbered by name: these come first there and last here.
    small: dict[str, list[str | None]] = {"-short": ["a short one"], "-empty": [], "1-short": ["another", None]}
    for name, words_of in small.items():
        ids, words = pa.array([None] * len(words_of), pa.string()), pa.array(words_of, pa.string())
        pq.write_table(pa.table({"id": ids, "text": words}), home / f"in/{name}.parquet")
    tiny_checkpoints.build(tiny_checkpoints.Recipe("bert"), home / "model")
    settings = {
        "model": {"name": str(home / "model")},
        "input": {"path": str(home / "in")},
        "output": {"path": str(home / "out"), "rows_per_file": 200},
        "limits": {"max_reject_rate": 0.2},
        "tuning": {"rows_per_slice": 25, "model_actors": 2},
    }
    (home / "job.yaml").write_text(yaml.safe_dump(settings))
    return home / "job.yaml"


def start(config: Path, *options: str) -> subprocess.Popen[str]:
    """Start a run as a scheduler does: its own process group, no terminal."""
    command = [sys.executable, "-m", "jobs.score", "run", str(config), "--replace", *options]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def finish(run: subprocess.Popen[str], code: int = 0) -> str:
    """Wait for a run to end well; return what it said."""
    said, _ = run.communicate(timeout=LONGEST_RUN_SECONDS)
    assert run.returncode == code, f"exit {run.returncode}\n{said}"
    return said


def undisturbed(config: Path, out: Path) -> dict[str, dict[str, str]]:
    """Publish each version once without a kill; return its files."""
    found = {}
    for name, options in VERSIONS.items():
        finish(start(config, *options))
        found[name] = published_hashes(out)
    return found


def strike(run: subprocess.Popen[str], victim: str) -> int:
    """Kill one kind of process of a run; return how many there were."""
    everyone = process_tree(run.pid)
    if victim == "the driver alone":
        killed = kill(everyone[:1])
    elif victim == "a model actor":
        killed = kill(workers(run.pid, "MapWorker")[:1])
    elif victim == "a process of Ray's":
        killed = kill(random.sample(everyone[1:], 1)) if len(everyone) > 1 else 0
    else:
        killed = kill(everyone)
    if victim.startswith("the driver"):
        run.wait(timeout=60)
        left = [process.name() for process in survivors(everyone[1:], 60)]
        assert not left, f"orphans after a kill of {victim}: {left}"
    return killed


def left_of(drivers: list[int]) -> list[str]:
    """Return the processes of Rays that some drivers started, wherever they hang by now."""
    logs = re.compile(rf"/session_[\d_-]+_({'|'.join(map(str, drivers))})/")
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(logs.search(file.path) for file in process.open_files()):
                found.append(process.name())
    return found


def alive_after_a_while(run: subprocess.Popen[str], victim: str) -> bool:
    """Wait for a random moment of a run, of its actors' life if one shall die; say whether the run goes on."""
    if victim == "a model actor":
        while run.poll() is None and not workers(run.pid, "MapWorker"):
            time.sleep(0.2)
    try:
        run.wait(timeout=random.uniform(0.1, 6) if victim == "a model actor" else random.uniform(0.5, 18))
    except subprocess.TimeoutExpired:
        return True
    return False


def kills(wanted: int, seed: int, home: Path) -> dict[str, Any]:
    """Kill runs until there were as many kills as wanted."""
    random.seed(seed)
    config = make_input(home)
    out = home / "out"
    expected = undisturbed(config, out)
    counts: Counter[str] = Counter()
    published = 0
    drivers = []
    began = time.monotonic()
    with Poller(out, pause=0.15) as poller:
        while sum(counts[victim] for victim in VICTIMS) < wanted:
            version = list(VERSIONS)[published % 2]
            run = start(config, *VERSIONS[version])
            drivers.append(run.pid)
            for _ in range(random.randint(1, 6)):
                victim = random.choices(VICTIMS, weights=[2, 2, 3, 2])[0]
                if not alive_after_a_while(run, victim):
                    break
                counts[victim] += strike(run, victim) > 0
                if victim.startswith("the driver"):
                    break
            if run.poll() is None:
                run.wait(timeout=LONGEST_RUN_SECONDS)
            said = run.stdout.read() if run.stdout else ""
            counts[f"runs that ended with {run.returncode}"] += 1
            assert run.returncode in (0, 1, -signal.SIGKILL), f"exit {run.returncode}\n{said}"
            assert "Traceback" not in said, said
            if run.returncode == 0:
                published += 1
                assert published_hashes(out) == expected[version], f"other bytes after {dict(counts)}\n{said}"
            done = sum(counts[victim] for victim in VICTIMS)
            print(
                f"{time.monotonic() - began:6.0f} s {done:4} kills, {published} published {dict(counts)}",
                flush=True,
            )
        # What a killed run of the other version left staged goes once that is published.
        finish(start(config, *VERSIONS["with logits"]))
        finish(start(config, *VERSIONS["plain"]))
    found = published_hashes(out)
    differ = sorted(set(found.items()) ^ set(expected["plain"].items()))
    assert not differ, differ[:9]
    left = left_of(drivers)
    assert not left, f"processes that no run ended: {left}"
    assert not poller.faults, poller.faults[:3]
    assert len(poller.whole) == 2, poller.whole
    assert read_version(out) in poller.whole
    success = json.loads((out / "_SUCCESS").read_text())
    return {
        "seed": seed,
        "kills": {victim: counts[victim] for victim in VICTIMS},
        "runs": {name: count for name, count in counts.items() if name not in VICTIMS},
        "published with the bytes of an undisturbed run": published,
        "rows": success["rows"],
        "rows lost": success["rows"] - success["scored"] - success["rejected"],
        "reads of a whole version": sum(poller.whole.values()),
        "reads that had to wait": poller.waits,
        "reads of anything else": len(poller.faults),
        "seconds": round(time.monotonic() - began),
    }


def races(wanted: int, seed: int, home: Path) -> dict[str, Any]:
    """Start two runs together, again and again; at last kill both and start a third."""
    random.seed(seed)
    config = make_input(home)
    ends: Counter[str] = Counter()
    for _ in range(wanted):
        shutil.rmtree(home / "out", ignore_errors=True)
        pair = [start(config), start(config)]
        codes = sorted(run.wait(timeout=LONGEST_RUN_SECONDS) for run in pair)
        said = " / ".join((run.stdout.read() if run.stdout else "").splitlines()[-1] for run in pair)
        ends[f"exit {codes[0]} and {codes[1]}"] += 1
        assert codes == [0, 4], f"{codes}: {said}"
        print(f"{ends}  {said}", flush=True)
    shutil.rmtree(home / "out", ignore_errors=True)
    pair = [start(config), start(config)]
    time.sleep(random.uniform(4, 12))
    for run in pair:
        kill(process_tree(run.pid))
    ends["both killed, a third published"] += "PUBLISHED" in finish(start(config))
    return {"seed": seed, **ends}


def nodes(seed: int, home: Path) -> dict[str, Any]:
    """Remove one of two machines in the middle of a run."""
    os.environ |= {"RAY_DATA_DISABLE_PROGRESS_BARS": "1", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    from ray.cluster_utils import Cluster

    config = make_input(home)
    finish(start(config))
    expected = published_hashes(home / "out")
    shutil.rmtree(home / "out")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)

    def remove() -> None:
        while len(list(home.glob("out/_staging/*/part-*.json"))) < 10:
            time.sleep(0.05)
        cluster.remove_node(second, allow_graceful=False)

    remover = threading.Thread(target=remove, daemon=True)
    remover.start()
    os.environ["RAY_ADDRESS"] = cluster.address
    said = finish(start(config))
    remover.join(timeout=1)
    assert not remover.is_alive(), "the run was over before the machine was removed"
    cluster.shutdown()
    return {
        "seed": seed,
        "the same bytes": published_hashes(home / "out") == expected,
        "said": said.splitlines()[-1],
    }


def main() -> None:
    """Run one kind of soak and print its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["kills", "races", "nodes", "s3"])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--races", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=50, help="of s3, on each server")
    parser.add_argument("--server", choices=["moto", "rclone"], help="of s3; both if none is named")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if given.kind == "kills":
            figures = kills(given.kills, given.seed, Path(folder))
        elif given.kind == "races":
            figures = races(given.races, given.seed, Path(folder))
        elif given.kind == "s3":
            from tests.faults import soak_s3  # which imports this module

            servers = (given.server,) if given.server else soak_s3.SERVERS
            figures = soak_s3.s3(given.rounds, servers, given.seed, Path(folder))
        else:
            figures = nodes(given.seed, Path(folder))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
