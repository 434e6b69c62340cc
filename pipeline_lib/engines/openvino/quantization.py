"""Quantize a converted model to int8 by NNCF; done in the child process of a conversion."""

from collections.abc import Sequence
from typing import Any


def quantized(model: Any, rows: Sequence[Sequence[Any]]) -> Any:
    """Return a converted model whose matrix products are computed in int8.

    The range of each activation is fixed, and found on the rows. So a row's answer does not depend on the rows
    beside it, as it would if ranges were found while it is computed.

    Args:
        model: as OpenVINO converted it.
        rows: the inputs of the model for each text that it is calibrated on, alone.
    """
    import nncf

    return nncf.quantize(
        model,
        nncf.Dataset(rows),
        model_type=nncf.ModelType.TRANSFORMER,
        # Activations have ranges that are not symmetric, weights have symmetric ones.
        preset=nncf.QuantizationPreset.MIXED,
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(rows),
    )
