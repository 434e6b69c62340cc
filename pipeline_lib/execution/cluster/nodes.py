"""The machines of the cluster: what they have, what of it is free, and what each of them answers to a question."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline_lib.errors import FaultError
from pipeline_lib.execution.cluster.failures import failures_explained
from pipeline_lib.planning.capacity import Node

_SECONDS_TO_ANSWER = 120.0

_T = TypeVar("_T")


def all_nodes() -> list[Node]:
    """Return what each machine has, whoever uses it."""
    return [_node(node["Resources"]) for node in _alive()]


def free_nodes() -> list[Node]:
    """Return what nobody uses of each machine."""
    return [_node(resources) for resources in ray._private.state.available_resources_per_node().values()]  # noqa: SLF001


def node_names() -> dict[str, str]:
    """Return how messages name each machine, by the machine's id."""
    return {node["NodeID"]: f"{node['NodeName']} ({node['NodeManagerHostname']})" for node in _alive()}


def answers_by_node(question: Callable[..., _T], nodes: Iterable[str], *arguments: Any) -> dict[str, _T]:
    """Run a function once on each machine, without reserving room for it; return its results by the machine's id.

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


def _alive() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _node(resources: Mapping[str, float]) -> Node:
    return Node(resources.get("CPU", 0.0), resources.get("GPU", 0.0))
