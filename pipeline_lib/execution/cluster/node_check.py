"""Before work starts on several machines: each must see the same files and run the same libraries as the driver."""

import contextlib
import hashlib
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline_lib.checkpoints.fetching import local_folder
from pipeline_lib.errors import FaultError, NightscoreError, SettingsError
from pipeline_lib.machine.library_versions import library_versions
from pipeline_lib.planning.plan import Plan
from pipeline_lib.settings.settings import ModelSettings
from pipeline_lib.storage.integrity import check_unchanged
from pipeline_lib.storage.location import FileStamp
from pipeline_lib.storage.records import STAGING
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of

_DECISIVE = ("torch", "transformers", "tokenizers")
"""Libraries that decide a score."""
_SECONDS_TO_ANSWER = 120.0
_SECONDS_TO_APPEAR = 5.0
_SHARED = "every node needs the same files: use a bucket, or a disk that all nodes mount"


@dataclass(frozen=True)
class _Sight:
    """What the driver sees, and so must every machine."""

    mark: str
    """URL of a small file below the output."""
    nonce: bytes
    shards: tuple[tuple[str, FileStamp], ...]
    model: ModelSettings
    checkpoint: frozenset[tuple[str, int]]
    """Names and bytes of the checkpoint's files; empty where it is fetched. The model's actors look into them."""
    versions: tuple[tuple[str, str], ...]


def refuse_unlike_nodes(plan: Plan, nodes: Iterable[str]) -> None:
    """Compare what each machine sees with what the driver sees; nothing to do on the driver's own.

    Args:
        plan: the run's plan.
        nodes: the ids of the machines that will work.

    Raises:
        FaultError: a machine does not answer.
        SettingsError: one sees other files or has other libraries; it is named.
    """
    here = ray.get_runtime_context().get_node_id()
    others = sorted(set(nodes) - {here})
    if not others:
        return
    names = {node["NodeID"]: f"{node['NodeName']} ({node['NodeManagerHostname']})" for node in ray.nodes()}
    with _sight_of(plan) as sight:
        look = ray.remote(_differences)
        answers = [
            look.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                sight
            )
            for node in others
        ]
        try:
            found = ray.get(answers, timeout=_SECONDS_TO_ANSWER)
        except ray.exceptions.GetTimeoutError:
            raise FaultError(f"not every node answered within {_SECONDS_TO_ANSWER:.0f} seconds") from None
    told = [
        f"node {names.get(node, node)}: {'; '.join(what)}" for node, what in zip(others, found, strict=True) if what
    ]
    if told:
        more = f"; {len(told) - 3} more nodes differ" if len(told) > 3 else ""
        raise SettingsError(". ".join(told[:3]) + more)


@contextlib.contextmanager
def _sight_of(plan: Plan) -> Iterator[_Sight]:
    """Yield what the driver sees, with the mark in place."""
    settings, nonce = plan.settings, secrets.token_hex(16)
    # A name that is cleaned away as a half-written file if this run is killed.
    mark = f"{settings.output.path.rstrip('/')}/{STAGING}/{plan.version}/.nodes.{nonce}.tmp"
    numbers = sorted({part.shard for part in plan.todo})
    shards = tuple((shard.path, shard.stamp) for shard in map(plan.shard, {*numbers[:1], *numbers[-1:]}))
    with translated_errors(mark, "writing"):
        location_of(mark).write(nonce.encode())
    try:
        yield _Sight(
            mark, nonce.encode(), shards, settings.model, _files(settings.model), tuple(_versions(plan).items())
        )
    finally:
        with contextlib.suppress(Exception):  # it is only a mark; what failed before is the news
            location_of(mark).remove()


def _differences(sight: _Sight) -> list[str]:
    """Return in words what this machine sees otherwise than the driver."""
    found = []
    if not _sees_mark(sight):
        folder = sight.mark.rpartition(f"/{STAGING}/")[0]
        found.append(f"the output {folder!r} is another folder there, or can't be reached; {_SHARED}")
    for path, stamp in sight.shards:
        try:
            check_unchanged(path, stamp)
        except NightscoreError:
            found.append(f"the shard {path!r} is missing or another file there; {_SHARED}")
            break
    with contextlib.suppress(NightscoreError):
        if _files(sight.model) != sight.checkpoint:
            found.append(f"model.name: {sight.model.name!r} is missing or holds other files there")
    here = _versions_here()
    unlike = [
        f"{name} {here.get(name)} (here {wanted})" for name, wanted in sight.versions if here.get(name) != wanted
    ]
    if unlike:
        found.append(f"other libraries: {', '.join(unlike)}; install the same everywhere")
    return found


def _sees_mark(sight: _Sight) -> bool:
    until = time.monotonic() + _SECONDS_TO_APPEAR  # a network disk may show it a moment later
    while True:
        with contextlib.suppress(Exception):  # whatever keeps it from being read
            if location_of(sight.mark).read() == sight.nonce:
                return True
        if time.monotonic() > until:
            return False
        time.sleep(0.5)


def _files(model: ModelSettings) -> frozenset[tuple[str, int]]:
    try:
        folder = local_folder(model)
    except NightscoreError:
        return frozenset()
    return (
        frozenset((path.name, path.stat().st_size) for path in folder.iterdir() if path.is_file())
        if folder
        else frozenset()
    )


def _versions(plan: Plan) -> dict[str, str]:
    wanted = (*_DECISIVE, "nightscore", *(["openvino"] if plan.computation.engine == "openvino" else []))
    here = _versions_here()
    return {name: here[name] for name in wanted}


def _versions_here() -> dict[str, str]:
    """Return the versions of the libraries and of this very code, which a cluster may get from elsewhere."""
    # What follows a plus tells for which device it was built.
    found = {name: version.partition("+")[0] for name, version in library_versions().items()}
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parents[2].rglob("*.py")):
        code.update(path.read_bytes())
    return {**found, "nightscore": code.hexdigest()[:12]}
