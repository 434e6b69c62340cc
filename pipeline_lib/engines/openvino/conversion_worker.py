"""The child process of `conversion`: reads one task as a line of JSON, and ends when its parent ends."""

import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from pipeline_lib.checkpoints.checkpoint import IdsAndTypes
from pipeline_lib.engines.engine import Floats, no_cache_option
from pipeline_lib.engines.openvino.availability import library
from pipeline_lib.engines.openvino.conversion import Source
from pipeline_lib.engines.openvino.openvino_engine import OpenVinoEngine


def main() -> int:
    """Do the task; say why it failed in the last line of standard error."""
    task, source, *more = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _TASKS[task](_source_of(source), *more)
    except Exception as error:  # noqa: BLE001 - a model's own code may raise anything
        print(f"{type(error).__name__}:", *str(error).split(), file=sys.stderr)  # noqa: T201 - the parent reads it
        return 1
    return 0


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):  # not by its buffer, which would be locked when this process ends
        pass
    os._exit(1)


def _source_of(values: dict[str, Any]) -> Source:
    return TypeAdapter(Source).validate_python(values)


def _convert(source: Source, folder: str) -> None:
    import torch

    from pipeline_lib.engines.engine_loading import load_source

    model = load_source(source)
    # Models without a padding id look for none, so any will do.
    pad = model.config.get_text_config().pad_token_id or 0
    rows, type_ids = source.batches()[0]
    # Several rows, so that their number does not become a constant of the converted model.
    rows, type_ids = (rows, type_ids) if len(rows) > 1 else (rows * 2, type_ids * 2)
    with torch.no_grad():
        converted = _traced(model, source, (rows, type_ids), pad)
    if len(source.calibration):
        converted = _quantized(converted, model, source, pad)
    part = Path(tempfile.mkdtemp(dir=Path(folder).parent))
    try:
        library().save_model(converted, part / "model.xml", compress_to_fp16=False)
        (part / "model.pad").write_text(str(pad))
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _traced(model: Any, source: Source, batch: IdsAndTypes, pad: int) -> Any:
    import torch

    from pipeline_lib.engines.torch_engine import TorchEngine

    tensors_by_name = TorchEngine(model, source.inputs, "cpu").padded(*batch, pad)

    class Logits(torch.nn.Module):
        """The model with positional inputs and one output, as the converter wants it."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: torch.Tensor) -> Any:
            return self.model(**dict(zip(tensors_by_name, tensors, strict=True)), **no_cache_option(model)).logits

    example = tuple(torch.from_numpy(array) for array in tensors_by_name.values())
    return library().convert_model(Logits().eval(), example_input=example)


def _quantized(converted: Any, model: Any, source: Source, pad: int) -> Any:
    from pipeline_lib.engines.openvino.quantization import quantized
    from pipeline_lib.engines.torch_engine import TorchEngine

    padded = TorchEngine(model, source.inputs, "cpu").padded
    rows = zip(*source.calibration.arrays(), strict=True)
    return quantized(converted, [list(padded([ids], [types], pad).values()) for ids, types in rows])


def _answer(source: Source, path: str, answers: str, threads: list[int]) -> None:
    engines = [OpenVinoEngine(Path(path), source.inputs, "float32", number) for number in threads]
    np.savez(answers, *(_logits_or_none(engine, batch) for engine in engines for batch in source.trials()))


def _logits_or_none(engine: OpenVinoEngine, batch: IdsAndTypes) -> Floats:
    """Return a batch's logits, or no row where the engine refuses it: it would then come in halves."""
    try:
        return engine.logits(*batch)
    except Exception:
        if len(batch[0]) == 1:
            raise
        return np.empty((0, 0), np.float32)


_TASKS: dict[str, Callable[..., None]] = {"convert": _convert, "answer": _answer}


if __name__ == "__main__":
    sys.exit(main())
