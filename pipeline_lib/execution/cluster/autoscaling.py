"""Ask the cluster's autoscaler for machines, and hear whether it has any that fit."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group

from pipeline_lib.execution.cluster.nodes import all_nodes
from pipeline_lib.planning.capacity import Allotment, Node, fits
from pipeline_lib.planning.resources import wanted
from pipeline_lib.settings.sections.tuning import Device, TuningSettings

# An autoscaler works once in a few seconds.
_SECONDS_TO_ANSWER = 30.0


@contextlib.contextmanager
def requested_room(bundles: Sequence[Mapping[str, float]]) -> Iterator[Callable[[], bool]]:
    """Request room from the autoscaler for as long as the block runs, without using it.

    Yields a function that tells whether the request is refused: no autoscaler runs, or it has no such machines.

    Args:
        bundles: what each actor needs of one machine, by Ray's names of resources.
    """
    # An autoscaler adds machines for placement groups that Ray can't place.
    group = placement_group([dict(bundle) for bundle in bundles])
    try:
        yield partial(_is_refused, group, time.monotonic() + _SECONDS_TO_ANSWER)
    finally:
        with contextlib.suppress(ray.exceptions.RayError):  # where Ray is lost, that error matters more
            remove_placement_group(group)


@contextlib.contextmanager
def requested_ahead(tuning: TuningSettings, device: Device) -> Iterator[None]:
    """Have the autoscaler start machines for a run in the block, while plans are made; nothing is waited for.

    Args:
        tuning: what the settings ask for.
        device: as planned.
    """
    whole = all_nodes()
    allotment = wanted(whole, 1, tuning, device)  # how many slices there are is not known yet
    with contextlib.nullcontext() if fits(whole, allotment) else requested_room(bundles_of(allotment)):
        yield


def bundles_of(allotment: Allotment) -> list[dict[str, float]]:
    """Return what each actor needs of one machine, by Ray's names of resources."""
    return [bundle(each) for actors, each in allotment.stages for _ in range(actors)]


def bundle(each: Node) -> dict[str, float]:
    """Return what an actor needs of one machine, by Ray's names of resources."""
    return {name: number for name, number in (("CPU", each.cpus), ("GPU", each.gpus)) if number}


def _is_refused(group: Any, deadline: float) -> bool:
    # Imported late, since they load much that few runs need. Ray has no public API for this.
    from ray.autoscaler.v2.utils import is_autoscaler_v2
    from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply
    from ray.experimental.internal_kv import internal_kv_get_gcs_client

    # Version 1, which Ray starts on every cluster, does not report what it can't add.
    if not is_autoscaler_v2(fetch_from_server=True):
        return True
    status = GetClusterStatusReply.FromString(internal_kv_get_gcs_client().get_cluster_status())
    if not status.HasField("autoscaling_state"):
        return time.monotonic() > deadline
    state = status.autoscaling_state
    if state.pending_instances or state.pending_instance_requests:
        return False  # these machines may have the room, though others requested them
    # The details of a refused request begin with the id of its placement group.
    return any(request.details.startswith(group.id.hex()) for request in state.infeasible_gang_resource_requests)
