"""Whether models compute on CPUs or GPUs: asked of the cluster, of PyTorch on this machine, and of the settings."""

from collections.abc import Callable
from importlib.metadata import version

from pipeline_lib.engines.torch_engine import has_gpu
from pipeline_lib.errors import SettingsError
from pipeline_lib.execution.cluster.address import running_cluster
from pipeline_lib.execution.cluster.nodes import all_nodes
from pipeline_lib.messages import amount
from pipeline_lib.settings.settings import Device, TuningSettings


def device_kind(tuning: TuningSettings, *, has_ray: bool) -> Device:
    """Return the kind of device that model actors will have: of the cluster that is joined, else of this machine.

    Args:
        tuning: what the settings ask for.
        has_ray: whether this process is connected to a Ray; else one will be started on this machine.
    """
    if tuning.gpus_per_model_actor is not None:
        return "cuda" if tuning.gpus_per_model_actor > 0 else "cpu"
    if has_ray and not any(node.gpus for node in all_nodes()):
        return "cpu"
    # PyTorch here decides only for this machine; the machines of a cluster may have another PyTorch.
    is_cluster = has_ray and running_cluster() is not None
    return "cuda" if is_cluster or has_gpu() else "cpu"


def with_gpus_stated(tuning: TuningSettings, device: Device) -> TuningSettings:
    """Return the settings with the GPUs of a model actor stated, for the device that was planned with."""
    gpus = 0.0 if device == "cpu" else tuning.gpus_per_model_actor or 1.0
    return tuning.model_copy(update={"gpus_per_model_actor": gpus})


def with_usable_gpus(tuning: TuningSettings, note: Callable[[str], None]) -> TuningSettings:
    """Return the settings for a Ray on this machine alone, without the GPUs that PyTorch can't use here.

    Raises:
        SettingsError: the settings ask for GPUs that are there, but PyTorch can't use them.
    """
    gpus = sum(node.gpus for node in all_nodes())
    if tuning.gpus_per_model_actor == 0 or not gpus or has_gpu():
        return tuning
    why = f"Ray sees {amount(gpus, 'GPU')} and PyTorch {version('torch')} can use none"
    if tuning.gpus_per_model_actor:
        raise SettingsError(f"tuning.gpus_per_model_actor: {why}; set it to 0 to score on CPUs")
    note(f"{why}; scoring on CPUs")
    return tuning.model_copy(update={"gpus_per_model_actor": 0.0})
