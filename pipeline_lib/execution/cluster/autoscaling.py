"""Have a cluster grow that can: what has no room there is asked of its autoscaler, which answers."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group

# An autoscaler looks every few seconds.
_SECONDS_TO_ANSWER = 30.0


@contextlib.contextmanager
def asked_for(bundles: list[Mapping[str, float]]) -> Iterator[Callable[[], bool]]:
    """Ask for room, and do not use it, for as long as the block runs; yield what tells whether it can't be had.

    It can't be had where no autoscaler is at work, nor where the autoscaler has no machines for it.

    Args:
        bundles: what each actor needs of one machine, by Ray's names of resources.
    """
    # What Ray can't place is what an autoscaler adds machines for.
    group = placement_group([dict(bundle) for bundle in bundles])
    try:
        yield partial(_is_refused, group, time.monotonic() + _SECONDS_TO_ANSWER)
    finally:
        with contextlib.suppress(ray.exceptions.RayError):  # where Ray is lost, that is the news
            remove_placement_group(group)


def _is_refused(group: Any, answers_until: float) -> bool:
    # Imported late, since they load much that few runs need. Ray has no public name for what they tell.
    from ray.autoscaler.v2.utils import is_autoscaler_v2
    from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply
    from ray.experimental.internal_kv import internal_kv_get_gcs_client

    # The one before it, which Ray starts on every cluster, does not tell what it can't add.
    if not is_autoscaler_v2(fetch_from_server=True):
        return True
    status = GetClusterStatusReply.FromString(internal_kv_get_gcs_client().get_cluster_status())
    if not status.HasField("autoscaling_state"):
        return time.monotonic() > answers_until
    told = status.autoscaling_state
    if told.pending_instances or told.pending_instance_requests:
        return False  # these machines may have the room, though others asked for them
    # Their details begin with the id of the group.
    return any(asked.details.startswith(group.id.hex()) for asked in told.infeasible_gang_resource_requests)
