"""Before a machine takes part in the work: it must have the same files and libraries as the driver."""

import contextlib
import hashlib
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import ray

from pipeline_lib.checkpoints.fetching import local_folder
from pipeline_lib.errors import NightscoreError, SettingsError
from pipeline_lib.execution.cluster.nodes import answers_by_node, node_names
from pipeline_lib.machine.library_versions import library_versions
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.resume.output_state import read_output
from pipeline_lib.settings.sections.model import ModelSettings
from pipeline_lib.storage.integrity import check_unchanged
from pipeline_lib.storage.location import FileStamp
from pipeline_lib.storage.records import STAGING
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of

_COMPARED = ("torch", "transformers", "tokenizers", "nightscore")
"""Libraries whose version decides a score."""
_SECONDS_TO_APPEAR = 5.0
_NODES_NAMED = 3
_SHARED = "every node needs the same files: use a bucket, or a disk that all nodes mount"


@dataclass(frozen=True)
class _DriverView:
    """What the driver sees; every machine must see the same."""

    probe: str
    """URL of a small file below the output."""
    version: str
    """Of the result that is being made there."""
    probe_content: bytes
    shards: tuple[tuple[str, FileStamp], ...]
    model: ModelSettings
    checkpoint: frozenset[tuple[str, int]]
    """Names and sizes of the checkpoint's files; empty where it is fetched. The model's actors read them."""
    versions: dict[str, str]


@dataclass(frozen=True)
class NewcomerCheck:
    """What a machine that comes while work goes on must pass, in place of one that was lost."""

    known: frozenset[str]
    """The ids of the machines that have passed."""
    views: tuple[_DriverView, ...]
    """Of some nights; none where only the driver's own machine works."""

    def __call__(self) -> None:
        """Compare this machine with the driver, unless that was done before; runs in a worker.

        Raises:
            SettingsError: this machine sees other files or has other libraries.
        """
        if self.views and ray.get_runtime_context().get_node_id() not in self.known:
            _refuse([(ray.util.get_node_ip_address(), _differences(self.views))])


@contextlib.contextmanager
def unlike_nodes_refused(plans: Sequence[Plan], nodes: Iterable[str]) -> Iterator[NewcomerCheck]:
    """Compare what each machine sees with what the driver sees, unless only the driver's own machine works.

    What is compared is of the first plan of each model and of the last plan; the others lie in the same places.
    Yields the check for machines that come later; it works for as long as the block runs.

    Args:
        plans: each with slices to do.
        nodes: the ids of the machines that will work.

    Raises:
        FaultError: a machine does not answer.
        SettingsError: a machine sees other files or has other libraries; the message names it.
    """
    here = ray.get_runtime_context().get_node_id()
    others = sorted(set(nodes) - {here})
    if not others:
        yield NewcomerCheck(frozenset({here}), ())
        return
    with contextlib.ExitStack() as probes:
        first_of = {plan.settings.model: plan for plan in reversed(plans)}
        compared = {plan.settings.output.path: plan for plan in (*reversed(first_of.values()), plans[-1])}
        views = tuple(probes.enter_context(_driver_view(plan)) for plan in compared.values())
        names = node_names()
        found = answers_by_node(_differences, others, views)
        _refuse([(names.get(node, node), differences) for node, differences in found.items()])
        yield NewcomerCheck(frozenset({here, *others}), views)


def _refuse(answers: Sequence[tuple[str, list[str]]]) -> None:
    """Raise an error that names the first machines that differ.

    Args:
        answers: names of machines, which several may share, with the differences of each.
    """
    unlike = [f"node {name}: {'; '.join(texts)}" for name, texts in answers if texts]
    if unlike:
        rest = len(unlike) - _NODES_NAMED
        raise SettingsError(". ".join(unlike[:_NODES_NAMED]) + (f"; {rest} more nodes differ" if rest > 0 else ""))


@contextlib.contextmanager
def _driver_view(plan: Plan) -> Iterator[_DriverView]:
    """Yield what the driver sees; the probe file exists for as long as the block runs."""
    settings, content = plan.settings, secrets.token_hex(16)
    # Cleanup deletes files of this name as partial ones, if this run is killed.
    probe = f"{settings.output.path.rstrip('/')}/{STAGING}/{plan.version}/.nodes.{content}.tmp"
    numbers = sorted({part.shard for part in plan.todo})
    shards = tuple((shard.path, shard.stamp) for shard in map(plan.shard, {*numbers[:1], *numbers[-1:]}))
    with translated_errors(probe, "writing"):
        location_of(probe).write(content.encode())
    more = ["openvino"] * (plan.computation.engine == "openvino") + ["nncf"] * (settings.model.precision == "int8")
    here, compared = _versions(), (*_COMPARED, *more)
    versions = {name: here[name] for name in compared}
    try:
        yield _DriverView(
            probe,
            plan.version,
            content.encode(),
            shards,
            settings.model,
            _checkpoint_files(settings.model),
            versions,
        )
    finally:
        with contextlib.suppress(Exception):  # a failure of the block matters more than this file
            location_of(probe).remove()


def _differences(views: Iterable[_DriverView]) -> list[str]:
    """Return in words where this machine differs from the driver; runs on that machine."""
    return list(dict.fromkeys(difference for view in views for difference in _differences_from(view)))


def _differences_from(view: _DriverView) -> list[str]:
    differences = []
    if not _sees_probe(view) and not _sees_result(view):
        folder = view.probe.rpartition(f"/{STAGING}/")[0]
        differences.append(f"the output {folder!r} is another folder there, or can't be reached; {_SHARED}")
    for path, stamp in view.shards:
        try:
            check_unchanged(path, stamp)
        except NightscoreError:
            differences.append(f"the shard {path!r} is missing or another file there; {_SHARED}")
            break
    with contextlib.suppress(NightscoreError):
        if _checkpoint_files(view.model) != view.checkpoint:
            differences.append(f"model.name: {view.model.name!r} is missing or holds other files there")
    here = _versions()
    unlike = [
        f"{name} {here.get(name)} (here {wanted})" for name, wanted in view.versions.items() if here[name] != wanted
    ]
    if unlike:
        differences.append(f"other libraries: {', '.join(unlike)}; install the same everywhere")
    return differences


def _sees_probe(view: _DriverView) -> bool:
    until = time.monotonic() + _SECONDS_TO_APPEAR  # a network disk may show a new file a moment later
    while True:
        with contextlib.suppress(Exception):  # whatever keeps it from being read
            if location_of(view.probe).read() == view.probe_content:
                return True
        if time.monotonic() > until:
            return False
        time.sleep(0.5)


def _sees_result(view: _DriverView) -> bool:
    """Tell whether the night of a view has been published since; its probe is gone then."""
    folder = view.probe.rpartition(f"/{STAGING}/")[0]
    with contextlib.suppress(NightscoreError):
        success = read_output(folder).success
        return success is not None and success.version == view.version
    return False


def _checkpoint_files(model: ModelSettings) -> frozenset[tuple[str, int]]:
    with contextlib.suppress(NightscoreError):
        if folder := local_folder(model):
            return frozenset((path.name, path.stat().st_size) for path in folder.iterdir() if path.is_file())
    return frozenset()


def _versions() -> dict[str, str]:
    """Return the versions of the libraries here, and of our own code a hash: a cluster may have another copy."""
    # What follows a plus names the device that the library was built for.
    versions = {name: version.partition("+")[0] for name, version in library_versions().items()}
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parents[2].rglob("*.py")):
        code.update(path.read_bytes())
    return {**versions, "nightscore": code.hexdigest()[:12]}
