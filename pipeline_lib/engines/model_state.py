"""The state that a model keeps from one batch to the next, and how it is restored to what was loaded."""

from typing import Any

_OWN = ("_parameters", "_buffers", "_modules")


class LoadedState:
    """The state of a model as it is now: attributes, submodules and buffers, but not the weights' values.

    Some models change themselves while they compute: BigBird exchanges its attention layers for good when a short
    text comes, and rotary positions that scale with the length keep the frequencies of the longest text.

    Args:
        model: of PyTorch, with a `config`; on the device where it computes.
    """

    def __init__(self, model: Any) -> None:
        self._owners = [*model.modules(), *_configs(model)]
        self._attributes = [dict(vars(owner)) for owner in self._owners]
        self._tables = [{name: dict(vars(owner).get(name, {})) for name in _OWN} for owner in self._owners]
        self._buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]

    def has_changed(self) -> bool:
        """Tell whether anything is not as it was."""
        import torch

        for owner, attributes, tables in zip(self._owners, self._attributes, self._tables, strict=True):
            current = vars(owner)
            if len(current) != len(attributes) or any(
                not _is_unchanged(current.get(name), attributes[name]) for name in attributes
            ):
                return True
            if any(not _same_entries(current.get(name, {}), table) for name, table in tables.items()):
                return True
        return any(not torch.equal(buffer, kept) for buffer, kept in self._buffers)

    def restore(self) -> None:
        """Put everything back."""
        import torch

        for owner, attributes, tables in zip(self._owners, self._attributes, self._tables, strict=True):
            current = vars(owner)
            for name in [name for name in current if name not in attributes]:
                del current[name]
            current.update(attributes)
            for name, table in tables.items():
                if name in current and not _same_entries(current[name], table):
                    current[name].clear()
                    current[name].update(table)
        with torch.inference_mode():
            for buffer, kept in self._buffers:
                buffer.copy_(kept)


def _configs(model: Any) -> list[Any]:
    """Return the model's configuration and its text part, each once."""
    config = getattr(model, "config", None)
    if config is None:
        return []
    text = config.get_text_config()
    return [config] if text is config else [config, text]


def _is_unchanged(value: Any, kept: Any) -> bool:
    """Compare by identity, and plain values by value."""
    return value is kept or (type(value) is type(kept) and isinstance(kept, int | float | str) and value == kept)


def _same_entries(entries: dict[str, Any], kept: dict[str, Any]) -> bool:
    return len(entries) == len(kept) and all(entries.get(name) is entry for name, entry in kept.items())
