"""One engine for all machines of a cluster, and one layout of rows for their GPUs; both decide the version."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version

import ray

from pipeline_lib.checkpoints.checkpoint import Checkpoint
from pipeline_lib.engines.inspection.engine_choice import may_take_openvino
from pipeline_lib.engines.inspection.packing_check import packs_on_this_gpu
from pipeline_lib.engines.openvino.availability import is_installed
from pipeline_lib.errors import listed
from pipeline_lib.execution.cluster.address import running_cluster
from pipeline_lib.execution.cluster.connection import connected
from pipeline_lib.execution.cluster.nodes import answers_by_node, node_names
from pipeline_lib.execution.cluster.placement import Note, grown
from pipeline_lib.planning.discovery import Discovery
from pipeline_lib.planning.resources import gpus_per_model_actor
from pipeline_lib.settings.settings import Settings


@contextlib.contextmanager
def engine_agreed(discoveries: Sequence[Discovery]) -> Iterator[tuple[Sequence[Discovery], list[str]]]:
    """Yield discoveries with an engine that all machines have, and notes for the user.

    Where this machine would take OpenVINO and a machine of the cluster lacks it, or has another version, PyTorch
    computes on all. The machines are asked before the plan is made, since the engine is part of the version.

    Raises:
        FaultError: a machine does not answer.
        SettingsError: as `connected` does.
    """
    takes_openvino = any(may_take_openvino(each.settings.model) for each in discoveries)
    if not takes_openvino or not (ray.is_initialized() or running_cluster()):
        yield discoveries, []
        return
    with connected(lambda: None):
        here, names = _openvino_version(), node_names()
        versions = answers_by_node(_openvino_version, names)
        lacking = sorted({names[node] for node, there in versions.items() if there != here})
        if not lacking:
            yield discoveries, []
            return
        why = f"model.engine: auto takes PyTorch, since OpenVINO {here} is not on {listed(lacking, 4)}"
        yield [_with_torch(each) for each in discoveries], [why]


def _with_torch(discovery: Discovery) -> Discovery:
    settings = discovery.settings
    if not may_take_openvino(settings.model):
        return discovery
    model = settings.model.model_copy(update={"engine": "torch"})
    return replace(discovery, settings=settings.model_copy(update={"model": model}))


def _openvino_version() -> str | None:
    return version("openvino") if is_installed() else None


def packs_on_gpus(release: Callable[[], None], note: Note, settings: Settings, checkpoint: Checkpoint) -> bool:
    """Return whether a GPU of the cluster computes packed rows right; asked before the version is known.

    Args:
        release: called before a GPU is needed, in case the job itself keeps it.
        note: told what is waited for, where the cluster has to grow first.
        settings: the job's settings.
        checkpoint: as inspected; packed rows were right in float32.

    Raises:
        FaultError: the cluster does not grow in time.
        SettingsError: it has no GPU, and can't get one.
    """
    share = gpus_per_model_actor(settings.tuning, "cuda")
    with connected(lambda: None):
        release()
        grown(1, settings.tuning, "cuda", note)
        task = ray.remote(packs_on_this_gpu).options(num_cpus=0, num_gpus=share).remote(settings, checkpoint)
        return bool(ray.get(task))
