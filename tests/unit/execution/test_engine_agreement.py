"""Machines of one cluster compute with one engine: where one of them lacks OpenVINO, `auto` is PyTorch on all."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SettingsMaker, write_parquet

pytestmark = pytest.mark.slow

_PROGRAM = """
import json, os, sys
os.environ["NIGHTSCORE_AUTO_ENGINE"] = "openvino"
from ray.cluster_utils import Cluster
from pipeline_lib import pipeline
from pipeline_lib.execution.ray_executor import RayExecutor
from pipeline_lib.reporting.terminal.progress import Progress
from pipeline_lib.settings.settings import Settings
from rich.console import Console

settings = Settings.model_validate_json(sys.argv[1])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
if sys.argv[2] != "openvino":
    cluster.add_node(num_cpus=1, env_vars={"NIGHTSCORE_AUTO_ENGINE": sys.argv[2]})
cluster.wait_for_nodes()
os.environ["RAY_ADDRESS"] = cluster.address
said = Console(record=True, file=open(os.devnull, "w"), width=300)
statuses = [pipeline.run(settings, None, Progress(said), RayExecutor()).status for _ in range(2)]
print(json.dumps([*statuses, [line for line in said.export_text().splitlines() if "model.engine" in line]]))
cluster.shutdown()
"""


@pytest.mark.openvino
@pytest.mark.parametrize(("elsewhere", "engine"), [("absent", "torch"), ("openvino", "openvino")])
def test_what_one_machine_lacks_none_computes_with(
    elsewhere: str, engine: str, tmp_path: Path, settings_for: SettingsMaker
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a fine kettle", "bad"]})
    command = [sys.executable, "-c", _PROGRAM, settings_for().model_dump_json(), elsewhere]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    first, second, notes = json.loads(said.splitlines()[-1])
    assert (first, second) == ("PUBLISHED", "COMPLETE")
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    assert manifest["fingerprint"]["computation"]["engine"] == engine
    assert len(notes) == (2 if elsewhere == "absent" else 0)
