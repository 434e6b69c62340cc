"""A run goes on with the machines that are left, though the settings name more actors than these have room for."""

import tempfile
from pathlib import Path

import pytest

from tests.helpers.clusters.simulated_cluster import on_cluster

pytestmark = [pytest.mark.slow, pytest.mark.clusters, pytest.mark.timeout(400)]

_SLICES = 30
"""More than the machine that is left takes while Ray moves to it what the lost ones had begun."""


def test_a_run_that_lost_machines_for_good_goes_on_with_those_that_are_left(checkpoint: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="ns", dir="/tmp") as folder:
        tuning = {"model_actors": 3, "gpus_per_model_actor": 0}
        found = on_cluster(
            Path(folder), checkpoint, machines=[(1, 0)] * 3, lost=2, slices=_SLICES, seconds=2.0, tuning=tuning
        )
    assert found["status"] == "PUBLISHED", found
    assert found["scored"] == _SLICES * 4
    assert "no machine came in place of one that was lost; going on with what is left" in found["said"]
    assert "no room for all actors that the settings name; going on with fewer" in found["said"]
