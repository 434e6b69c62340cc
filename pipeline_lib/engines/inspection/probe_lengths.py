"""The lengths of the texts that a checkpoint is tried on: pure arithmetic over its configuration."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# Names of settings that hold a number of tokens, at which a model may start to compute in another way.
_LENGTHS = re.compile(
    r"length|_len$|window|block|chunk|positions?$|position_embeddings$|axial_pos_shape|landmarks|segment|stride"
    r"|local_attention|context|kernel|max_distance|seq"
)
# Of these, the names of settings that count layers, heads or channels instead.
_NO_LENGTHS = re.compile(
    r"layer|pattern|interval|random|embds_dim|num_blocks|per_block|repeats|_id$|size_feed_forward|2d"
)
# These settings only decide a mask, which padding enlarges and does not change. Of rotary positions, only the kinds
# below depend on the length of a batch (`dynamic_rope_update` in transformers).
_MASKED = re.compile(r"sliding_window$|attention_chunk_size$|local_attention$")
_ROPE = re.compile(r"original_max_position_embeddings$|rope_\w+\.max_position_embeddings$")
_ROPES_BY_LENGTH = ("dynamic", "longrope")

# Multiplications and additions that an inspection may take: seconds on two cores.
_OPERATIONS = 1e12
_FEWEST_TOKENS, _MOST_TOKENS = 1_536, 16_384
_LONG, _LONGEST = 1_024, 8_192


@dataclass(frozen=True)
class Lengths:
    """The lengths to try, in tokens."""

    long: int
    """The longest: the limit where that is affordable."""
    between: tuple[int, ...]
    """Others, below it: at, above and below the configuration's thresholds."""
    untried: tuple[str, ...]
    """Thresholds that longer texts than these may cross, as `name=tokens`."""
    thorough: bool
    """Whether all of them together are affordable in both orders."""


def lengths_to_try(config: Mapping[str, Any], limit: int | None, parameters: int) -> Lengths:
    """Return lengths that show whether a row's answer depends on its neighbours, within the cost of an inspection.

    The longest is the limit, but 1,024 tokens at most unless a threshold of the configuration lies beyond; then it
    lies just above that, up to 8,192 tokens. Models of many weights are tried on fewer tokens: 512 at least. What
    could not be tried and is not known to be harmless is in `untried`.

    Args:
        config: the model's configuration, as plain values.
        limit: the longest text in tokens, if there is a limit.
        parameters: of the layers, which each token goes through.
    """
    affordable = min(max(int(_OPERATIONS / (2 * max(parameters, 1))), _FEWEST_TOKENS), _MOST_TOKENS)
    reach = min(affordable // 3, _LONGEST, limit or _LONGEST)
    named = {**dict(_thresholds(config)), **_of_bigbird(config)}
    thresholds = {name: value for name, value in named.items() if value < (limit or value + 1)}
    crossed = [value + 1 for value in thresholds.values() if value < reach]
    long = max([min(reach, _LONG), *crossed])
    values = sorted({value for value in thresholds.values() if value < long})
    odd = (long // 4) | 1  # no multiple of a block, and cheap
    wanted = [odd, *(value + more for more in (1, 0, -1) for value in values)]
    between = tuple(dict.fromkeys(length for length in wanted if 1 < length < long))
    # The longest alone and beside the short text; each other length alone, and padded to it and to the next.
    room = max((affordable - 3 * long) // (3 * long), 1)
    between = between[: min(room, 12)]
    harmless = _harmless(config)
    untried = (
        f"{name}={value}" for name, value in thresholds.items() if value >= long and not harmless.search(name)
    )
    thorough = 5 * long + 4 * long * len(between) <= affordable
    return Lengths(long, between, tuple(untried), thorough=thorough)


def _thresholds(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, int]]:
    """Yield the dotted names and the values of all that looks like a number of tokens."""
    for key, value in config.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            if not re.search(r"vision|audio|image|detectron", str(key)):
                yield from _thresholds(value, f"{name}.")
            continue
        if not _LENGTHS.search(str(key)) or _NO_LENGTHS.search(str(key)):
            continue
        entries = value if isinstance(value, list | tuple) else [value]
        numbers = [
            entry for entry in entries if isinstance(entry, int) and not isinstance(entry, bool) and entry > 1
        ]
        yield from ((f"{name}[{at}]" if len(numbers) > 1 else name, number) for at, number in enumerate(numbers))


def _of_bigbird(config: Mapping[str, Any]) -> dict[str, int]:
    """Return the length from which BigBird's attention is sparse: (5 + 2 * num_random_blocks) * block_size."""
    block, drawn = config.get("block_size"), config.get("num_random_blocks")
    if not isinstance(block, int) or not isinstance(drawn, int):
        return {}
    return {"num_random_blocks": (5 + 2 * drawn) * block}


def _harmless(config: Mapping[str, Any]) -> re.Pattern[str]:
    kinds = repr(config.get("rope_parameters") or config.get("rope_scaling") or "")
    by_length = any(kind in kinds for kind in _ROPES_BY_LENGTH)
    return _MASKED if by_length else re.compile(f"{_MASKED.pattern}|{_ROPE.pattern}")
