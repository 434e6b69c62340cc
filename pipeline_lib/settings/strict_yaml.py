"""YAML without equal keys in one mapping and without aliases that stand for very many values."""

from collections.abc import Hashable
from itertools import chain
from typing import Any

import yaml

# Far more than any settings have; an alias counts as all the values that it stands for.
_MOST_VALUES = 10_000


def load_yaml(text: str) -> Any:
    """Return the value that a text in YAML stands for.

    Raises:
        ValueError: the text is not valid YAML; the message is one line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    # The date 2026-02-30 is a ValueError, and thousands of opening brackets are a RecursionError.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from None


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which would otherwise keep the last of two equal keys and expand all aliases."""

    def construct_document(self, node: yaml.Node) -> Any:
        if _count_values(node, {}) > _MOST_VALUES:
            raise yaml.constructor.ConstructorError(
                None, None, f"more than {_MOST_VALUES:,} values", node.start_mark
            )
        return super().construct_document(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is set twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def _count_values(node: yaml.Node, counts: dict[int, int]) -> int:
    """Return the number of values in a node, counting the target of an alias each time that it is named."""
    if id(node) in counts:
        if not counts[id(node)]:
            raise yaml.constructor.ConstructorError(None, None, "an alias holds itself", node.start_mark)
        return counts[id(node)]
    counts[id(node)] = 0
    inner = node.value if isinstance(node, yaml.CollectionNode) else []
    nodes = chain.from_iterable(inner) if isinstance(node, yaml.MappingNode) else inner
    counts[id(node)] = 1 + sum(_count_values(child, counts) for child in nodes)
    return counts[id(node)]
