"""A cluster of this machine that the autoscaler of Ray makes grow and shrink; each machine is a raylet."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.helpers.processes import end_ray
from tests.helpers.stores.servers import free_port


@dataclass(frozen=True)
class Groups:
    """What the autoscaler may start.

    Args:
        resources: of a machine of each group, by the names of Ray. Without a group, no autoscaler runs.
        most: machines of each group.
        head_cpus: logical ones of the head, which is there from the start.
        idle_minutes: after which a machine that nobody uses is ended.
    """

    resources: Mapping[str, Mapping[str, float]]
    most: Mapping[str, int]
    head_cpus: int = 1
    idle_minutes: float = 5


@contextlib.contextmanager
def growing_cluster(groups: Groups, home: Path) -> Iterator[None]:
    """Start a head and the autoscaler; `RAY_ADDRESS` names it.

    Args:
        groups: what may be started.
        home: a folder with a short path, where `RAY_TMPDIR` is.
    """
    from ray._private.services import get_node_ip_address
    from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID

    ray, port = Path(sys.executable).parent / "ray", free_port()
    (home / "config.json").write_text(json.dumps(_configuration(groups, f"{get_node_ip_address()}:{port}")))
    os.environ |= {
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
    }
    start = ["start", "--head", f"--port={port}", f"--num-cpus={groups.head_cpus}", "--include-dashboard=false"]
    autoscaler = f"--autoscaling-config={home}/config.json" if groups.resources else "--no-monitor"
    try:
        subprocess.run([ray, *start, autoscaler], check=True, capture_output=True)
        os.environ["RAY_ADDRESS"] = f"127.0.0.1:{port}"
        yield
    finally:
        end_ray(home / "ray")


def _configuration(groups: Groups, address: str) -> dict[str, Any]:
    """Return the autoscaler's settings."""
    from ray.autoscaler._private.fake_multi_node import node_provider
    from ray.autoscaler._private.monitor import BASE_READONLY_CONFIG

    head, provider = node_provider.FAKE_HEAD_NODE_TYPE, node_provider.FakeMultiNodeProvider
    kind = {"node_config": {}, "min_workers": 0}
    return {
        **BASE_READONLY_CONFIG,  # with what has to be there, empty
        "max_workers": sum(groups.most.values()),
        "provider": {
            # By its own name it would want a file that Ray's wheels lack.
            "type": "external",
            "module": f"{provider.__module__}.{provider.__name__}",
            "gcs_address": address,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "launch_multiple": True,
            "head_node_id": node_provider.FAKE_HEAD_NODE_ID,
        },
        "available_node_types": {
            head: {**kind, "resources": {"CPU": groups.head_cpus}, "max_workers": 0},
            **{
                name: {**kind, "resources": dict(resources), "max_workers": groups.most[name]}
                for name, resources in groups.resources.items()
            },
        },
        "head_node_type": head,
        "idle_timeout_minutes": groups.idle_minutes,
    }


def raylets(home: Path, *, gpus: bool | None = None) -> list[psutil.Process]:
    """Return the raylets of the workers that an autoscaler started; it may just have asked for their end.

    Args:
        home: the folder of the cluster.
        gpus: return only those with, or those without GPUs.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            resources = [word for word in words if word.startswith("--static_resource_list=")]
            of_worker = resources and any(str(home) in word for word in words) and "--head" not in words
            if of_worker and gpus in (None, "GPU," in resources[0]) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
