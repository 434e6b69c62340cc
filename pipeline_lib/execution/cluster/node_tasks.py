"""Ask machines of the cluster: run a function once on each of them, without reserving room for it."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline_lib.errors import FaultError
from pipeline_lib.execution.cluster.failures import failures_explained

_SECONDS_TO_ANSWER = 120.0

_T = TypeVar("_T")


def answers_by_node(question: Callable[..., _T], nodes: Iterable[str], *arguments: Any) -> dict[str, _T]:
    """Return what a function returns on each machine, by the machine's id.

    Args:
        question: the function.
        nodes: the ids of the machines.
        arguments: for the function.

    Raises:
        NightscoreError: the function failed on a machine, or a machine was lost or does not answer.
    """
    task = ray.remote(question)
    tasks = {
        node: task.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
            *arguments
        )
        for node in nodes
    }
    try:
        with failures_explained():
            return dict(zip(tasks, ray.get(list(tasks.values()), timeout=_SECONDS_TO_ANSWER), strict=True))
    except FaultError as error:
        if isinstance(error.__cause__, ray.exceptions.GetTimeoutError):
            raise FaultError(f"not every node answered within {_SECONDS_TO_ANSWER:.0f} seconds") from None
        raise


def node_names() -> dict[str, str]:
    """Return how messages name each machine that is alive, by the machine's id."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    return {node["NodeID"]: f"{node['NodeName']} ({node['NodeManagerHostname']})" for node in alive}
