"""How logits are computed, as far as it can change a score: the device, the engine, and the layout of batches."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import pyarrow as pa

from pipeline_lib.checkpoints.checkpoint import Checkpoint
from pipeline_lib.errors import SettingsError
from pipeline_lib.inputs import columns
from pipeline_lib.machine.library_versions import library_versions
from pipeline_lib.settings.sections.tuning import Device, TuningSettings
from pipeline_lib.settings.settings import Settings

BatchLayout = Literal["padded", "packed", "equal lengths"]

TOKENS_PER_BATCH: dict[Device, int] = {"cpu": 1_024, "cuda": 65_536}
"""Measured: on CPUs small batches stay in the cache; on GPUs larger ones gain no speed."""

PACKED_PRECISIONS = ("bfloat16", "float16")
"""The precisions that the GPU's attention for packed rows can compute in."""

# The libraries whose kernels and formulas compute the logits.
_COMPUTE = ("torch", "transformers")


@dataclass(frozen=True)
class Computation:
    """What decides the digits of a score beside the checkpoint and the settings; part of the version."""

    device: Device
    engine: str
    """`torch` or `openvino`; on a GPU always `torch`."""
    layout: BatchLayout
    """Whether rows are padded to the longest, laid end to end, or batched with rows of the same length only."""
    tokens_per_batch: int
    threads: int | None
    """CPU threads of a model actor, which can change the last digit of a sum; None on a GPU, where they do not."""
    libraries: tuple[str, ...]
    """Names with major and minor version, in half precision only, where another kernel changes scores visibly."""

    def as_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return {**asdict(self), "libraries": list(self.libraries)}


def computation_of(
    settings: Settings, checkpoint: Checkpoint, device: Device, *, packed: bool = False
) -> Computation:
    """Return how this checkpoint is computed on a kind of device.

    Args:
        settings: the job's settings.
        checkpoint: as inspected.
        device: the kind of device of all model actors.
        packed: whether rows are laid end to end, without padding.

    Raises:
        SettingsError: the device can't compute in the precision.
    """
    check_device(settings, device)
    on_cpu = device == "cpu"
    padded: BatchLayout = "padded" if checkpoint.pads_safely else "equal lengths"
    engine = checkpoint.cpu_engine if on_cpu else "torch"
    precision = settings.model.precision
    return Computation(
        device=device,
        engine=engine,
        layout="packed" if packed else padded,
        tokens_per_batch=settings.tuning.tokens_per_batch or TOKENS_PER_BATCH[device],
        threads=model_threads(settings.tuning) if on_cpu else None,
        libraries=() if precision == "float32" else _compute_libraries(engine, precision),
    )


def check_device(settings: Settings, device: Device) -> None:
    """Check that a kind of device can compute in the settings' precision.

    Raises:
        SettingsError: it can't.
    """
    if settings.model.precision == "int8" and device != "cpu":
        raise SettingsError(
            "model.precision: int8 is computed on CPUs only: set tuning.gpus_per_model_actor: 0, or use bfloat16"
        )


def model_threads(tuning: TuningSettings) -> int:
    """Return the CPU threads of a model actor; one where the settings leave it open."""
    return tuning.cpus_per_model_actor or 1


def computed_by(computation: Computation, device_name: str) -> str:
    """Describe what computes on this worker in words, for receipts: a manifest then shows where slices differ.

    Args:
        computation: as planned.
        device_name: the name of this worker's device, such as `cpu` or `NVIDIA H100`.
    """
    names, versions = _libraries_of(computation.engine), library_versions()
    return ", ".join([device_name, computation.layout, *(f"{name} {versions[name]}" for name in names)])


def with_computed_by(table: pa.Table, description: str) -> pa.Table:
    """Return a slice's table with the description of what computed it, the same in every row."""
    same = pa.DictionaryArray.from_arrays(
        pa.repeat(pa.scalar(0, pa.int8()), table.num_rows), pa.array([description])
    )
    return table.append_column(columns.COMPUTED_BY, same)


def computed_by_in(table: pa.Table) -> str:
    """Return the description of what computed a slice's table, or an empty string where that is not known."""
    if not table.num_rows or columns.COMPUTED_BY not in table.column_names:
        return ""
    return str(table.column(columns.COMPUTED_BY)[0].as_py())


def _compute_libraries(engine: str, precision: str) -> tuple[str, ...]:
    versions = library_versions()
    # NNCF decides the scales of int8.
    names = [*_libraries_of(engine), *(["nncf"] * (precision == "int8"))]
    return tuple(f"{name} {'.'.join(versions[name].split('.')[:2])}" for name in names)


def _libraries_of(engine: str) -> list[str]:
    return [*_COMPUTE, *(["openvino"] * (engine == "openvino"))]
