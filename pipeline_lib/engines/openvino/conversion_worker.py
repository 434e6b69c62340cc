"""The child process of `conversion`: takes one task as a line of JSON, and ends when whoever asked for it does."""

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

from pipeline_lib.engines.engine import Floats, Ids, no_cache
from pipeline_lib.engines.openvino.conversion import Source
from pipeline_lib.engines.openvino.openvino_engine import OpenVinoEngine, library
from pipeline_lib.settings.settings import ModelSettings


def main() -> int:
    """Do the task; say why it failed in the last line of standard error."""
    task, given, *more = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _TASKS[task](_source(given), *more)
    except Exception as error:  # noqa: BLE001 - a model's own code may raise anything
        print(f"{type(error).__name__}:", *str(error).split(), file=sys.stderr)  # noqa: T201 - our only voice
        return 1
    return 0


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):  # not by its buffer, which would be locked when this process ends
        pass
    os._exit(1)


def _source(given: dict[str, Any]) -> Source:
    rows, types, beside, beside_types = (
        tuple(map(tuple, given[name])) for name in ("rows", "types", "beside", "beside_types")
    )
    settings = ModelSettings(**given["settings"])
    own = {"folder": Path(given["folder"]), "settings": settings, "inputs": tuple(given["inputs"])}
    texts = {"rows": rows, "types": types, "beside": beside, "beside_types": beside_types}
    return Source(**{**given, **own, **texts})


def _convert(source: Source, folder: str) -> None:
    import torch

    from pipeline_lib.engines.engine_loading import load_model

    model = load_model(source.folder, source.settings, "float32", _narrowed_by(source))
    # Models without a padding id look for none, so any will do.
    pad = model.config.get_text_config().pad_token_id or 0
    rows, types = source.batches()[0]
    # Several rows, so that their number is not taken for a constant.
    rows, types = (rows, types) if len(rows) > 1 else (rows * 2, types * 2)
    with torch.no_grad():
        found = _traced(model, source, (rows, types), pad)
    part = Path(tempfile.mkdtemp(dir=Path(folder).parent))
    try:
        library().save_model(found, part / "model.xml", compress_to_fp16=False)
        (part / "model.pad").write_text(str(pad))
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _narrowed_by(source: Source) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
    return (source.inputs, source.rows[0]) if source.first_token_alone else None


def _traced(model: Any, source: Source, batch: tuple[list[Ids], list[Ids]], pad: int) -> Any:
    import torch

    from pipeline_lib.engines.torch_engine import TorchEngine

    given = TorchEngine(model, source.inputs, "cpu").padded(*batch, pad)

    class Logits(torch.nn.Module):
        """The model with positional inputs and one output, as the converter wants it."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: torch.Tensor) -> Any:
            return self.model(**dict(zip(given, tensors, strict=True)), **no_cache(model)).logits

    example = tuple(torch.from_numpy(array) for array in given.values())
    return library().convert_model(Logits().eval(), example_input=example)


def _answer(source: Source, path: str, answers: str, threads: int) -> None:
    engine = OpenVinoEngine(Path(path), source.inputs, "float32", threads)
    np.savez(answers, *(_logits_or_none(engine, batch) for batch in source.trials()))


def _logits_or_none(engine: OpenVinoEngine, batch: tuple[list[Ids], list[Ids]]) -> Floats:
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
