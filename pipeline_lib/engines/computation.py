"""How logits are computed, as far as it can change a score: on which device, by which engine, in which batches."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import pyarrow as pa

from pipeline_lib.checkpoints.checkpoint import Checkpoint
from pipeline_lib.inputs import columns
from pipeline_lib.machine.library_versions import library_versions
from pipeline_lib.settings.settings import Device, Settings

BatchLayout = Literal["padded", "packed", "equal lengths"]

TOKENS_PER_BATCH: dict[Device, int] = {"cpu": 1_024, "cuda": 65_536}
"""Measured: on CPUs small batches stay in the cache; on GPUs larger ones gain no speed."""

PACKED_PRECISIONS = ("bfloat16", "float16")
"""Those that the GPU's attention for packed rows computes in."""

# Those whose kernels and formulas compute the logits.
_COMPUTE = ("torch", "transformers", "openvino")


@dataclass(frozen=True)
class Computation:
    """What beside the checkpoint and the settings decides the digits of a score; part of the version."""

    device: Device
    engine: str
    """`torch` or `openvino`; on a GPU always `torch`."""
    layout: BatchLayout
    """How the rows of a batch lie beside each other."""
    tokens_per_batch: int
    threads: int | None
    """CPU threads of a model actor, which can change the last digit of a sum; None on a GPU, where they do not."""
    libraries: tuple[str, ...]
    """Below float32, where another kernel moves scores visibly: names with their major and minor version."""

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
    """
    on_cpu = device == "cpu"
    padded: BatchLayout = "padded" if checkpoint.pads_safely else "equal lengths"
    engine = checkpoint.cpu_engine if on_cpu else "torch"
    return Computation(
        device=device,
        engine=engine,
        layout="packed" if packed else padded,
        tokens_per_batch=settings.tuning.tokens_per_batch or TOKENS_PER_BATCH[device],
        threads=(settings.tuning.cpus_per_model_actor or 1) if on_cpu else None,
        libraries=() if settings.model.precision == "float32" else _compute_libraries(engine),
    )


def computed_by(computation: Computation, device_name: str) -> str:
    """Return what computes on this worker, in words: for receipts, so that a manifest can tell where they differ.

    Args:
        computation: as planned.
        device_name: of the very device, such as `cpu` or `NVIDIA H100`.
    """
    names = [name for name in _COMPUTE if name != "openvino" or computation.engine == "openvino"]
    versions = library_versions()
    return ", ".join([device_name, computation.layout, *(f"{name} {versions[name]}" for name in names)])


def with_computed_by(table: pa.Table, words: str) -> pa.Table:
    """Return a slice's table with what computed it."""
    same = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int8()), table.num_rows), pa.array([words]))
    return table.append_column(columns.COMPUTED_BY, same)


def computed_by_of(table: pa.Table) -> str:
    """Return what computed a slice's table, or an empty string where it does not say."""
    if not table.num_rows or columns.COMPUTED_BY not in table.column_names:
        return ""
    return str(table.column(columns.COMPUTED_BY)[0].as_py())


def _compute_libraries(engine: str) -> tuple[str, ...]:
    versions = library_versions()
    names = [name for name in _COMPUTE if name != "openvino" or engine == "openvino"]
    return tuple(f"{name} {'.'.join(versions[name].split('.')[:2])}" for name in names)
