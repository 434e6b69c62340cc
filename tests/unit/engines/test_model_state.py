"""Every change that a model makes to itself while it computes is detected and undone."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pipeline_lib.engines.model_state import LoadedState


class Model(torch.nn.Module):
    """With one of everything that a module can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)
        self.frequencies: torch.Tensor
        self.register_buffer("frequencies", torch.ones(3), persistent=False)
        self.kind = "sparse"
        text = SimpleNamespace(pad_token_id=None)
        self.config = SimpleNamespace(attention="sparse", get_text_config=lambda: text)


def _swapped(model: Any) -> None:
    model.layer = torch.nn.Linear(2, 2)


def _registered(model: Any) -> None:
    model.register_buffer("frequencies", torch.zeros(3), persistent=False)


CHANGES: dict[str, Callable[[Any], None]] = {
    "attribute": lambda model: setattr(model, "kind", "full"),
    "attribute of a submodule": lambda model: setattr(model.layer, "longest", 9),
    "new attribute": lambda model: setattr(model, "long", torch.ones(3)),
    "attribute that is gone": lambda model: delattr(model, "kind"),
    "submodule": _swapped,
    "buffer": _registered,
    "buffer in place": lambda model: model.frequencies.mul_(2),
    "configuration": lambda model: setattr(model.config, "attention", "full"),
    "its text part": lambda model: setattr(model.config.get_text_config(), "pad_token_id", 3),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_detected_and_undone(change: str) -> None:
    model = Model()
    layer, frequencies = model.layer, model.frequencies
    loaded = LoadedState(model)
    assert not loaded.has_changed()
    with torch.inference_mode():
        CHANGES[change](model)
    assert loaded.has_changed()
    loaded.restore()
    assert not loaded.has_changed()
    assert model.kind == "sparse"
    assert model.layer is layer
    assert model.frequencies is frequencies
    assert model.frequencies.tolist() == [1, 1, 1]
    assert model.config.attention == "sparse"
    assert not hasattr(model, "long")
