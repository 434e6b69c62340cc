"""Which GPUs models can use: those of the cluster, or those of this machine that PyTorch can use."""

from collections.abc import Callable
from importlib.metadata import version

from pipeline_lib.engines.torch_engine import has_gpu
from pipeline_lib.errors import SettingsError
from pipeline_lib.execution.cluster.address import running_cluster
from pipeline_lib.execution.cluster.nodes import all_nodes
from pipeline_lib.messages import amount
from pipeline_lib.settings.sections.tuning import TuningSettings


def has_usable_gpus(*, has_ray: bool) -> bool:
    """Tell whether model actors can have GPUs: of the cluster that is joined, else of this machine.

    Args:
        has_ray: whether this process is connected to a Ray; else one will be started on this machine.
    """
    if has_ray and not any(node.gpus for node in all_nodes()):
        return False
    # PyTorch here decides only for this machine; the machines of a cluster may have another PyTorch.
    return (has_ray and running_cluster() is not None) or has_gpu()


def check_own_gpus(tuning: TuningSettings, note: Callable[[str], None]) -> None:
    """Say where GPUs of a Ray on this machine alone are not used, since PyTorch can't use them.

    Raises:
        SettingsError: the settings ask for these GPUs.
    """
    gpus = sum(node.gpus for node in all_nodes())
    if tuning.gpus_per_model_actor == 0 or not gpus or has_gpu():
        return
    why = f"Ray sees {amount(gpus, 'GPU')} and PyTorch {version('torch')} can use none"
    if tuning.gpus_per_model_actor:
        raise SettingsError(f"tuning.gpus_per_model_actor: {why}; set it to 0 to score on CPUs")
    note(f"{why}; scoring on CPUs")
