"""Rules for a checkpoint's JSON files: they must not have other files read, or other code run, than its own."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pipeline_lib.checkpoints.json_files import JSON_BYTES, is_plain, read_json
from pipeline_lib.errors import CheckpointError, did_you_mean, listed
from pipeline_lib.settings.sections.model import ModelSettings

CONFIG = "config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
SPECIAL_TOKENS = "special_tokens_map.json"

_CONFIG_BYTES = 16 << 20
# Beyond these only building the model, naming its labels or making its tokens would use up a machine's memory.
# Sizes of weights need no limit: they are compared with the weight files before memory is allocated.
_LAYERS = 10_000
_LABELS = 1_000_000
_MADE_TOKENS = 100_000
_TOKENS = 10_000_000
_COUNT_OF_PARTS = re.compile(r"layer|block_sizes|^(num|n)_.*(block|group|stage|expert)|group_num")

_ATTENTION = frozenset(
    {
        *("eager", "sdpa", "flex_attention"),
        *("flash_attention_2", "flash_attention_3", "flash_attention_4"),
    }
)
_EXPERTS = frozenset({"eager", "batched_mm", "grouped_mm"})
_REFUSED = {
    "configuration_files": "it would have another file read in its place",
    "fusion_config": "it would have parts of the model replaced",
    "quantization_config": "quantized weights need the code of other libraries",
    "transformers_weights": "it would have other weights loaded than model.safetensors or those of its index",
}


def read_config(folder: Path, settings: ModelSettings) -> dict[str, Any]:
    """Return what config.json says.

    Raises:
        CheckpointError: it is missing or damaged, or asks for something that is not allowed.
    """
    if not (folder / CONFIG).is_file():
        file_names = listed(sorted(path.name for path in folder.iterdir()))
        raise CheckpointError(f"model.name: {settings.name!r} holds no config.json (found {file_names})")
    config = read_json(folder, CONFIG, settings, _CONFIG_BYTES)
    for key, value in _every_entry(config):
        _check_entry(key, value, settings)
    return config


def read_tokenizer_config(folder: Path, settings: ModelSettings) -> dict[str, Any]:
    """Return what tokenizer_config.json says; nothing where there is none.

    Raises:
        CheckpointError: it is damaged, or asks for something that is not allowed.
    """
    if not os.path.lexists(folder / TOKENIZER_CONFIG):
        return {}
    config = read_json(folder, TOKENIZER_CONFIG, settings, JSON_BYTES)
    if config.get("init_inputs"):
        raise CheckpointError(
            f"model.name: {TOKENIZER_CONFIG} of {settings.name!r} has init_inputs, which would have other files "
            "read; remove it"
        )
    where = f"model.name: {TOKENIZER_CONFIG} of {settings.name!r} has"
    for key in ("extra_ids", "num_madeup_words", "offset"):
        _check_number(f"{where} {key}", config.get(key), _MADE_TOKENS)
    added = config.get("added_tokens_decoder")
    numbers = [int(key[:20]) for key in (added if isinstance(added, dict) else ()) if key.isdecimal()]
    _check_number(f"{where} added_tokens_decoder", numbers, _TOKENS)
    return config


def versions_of_tokenizer(folder: Path, settings: ModelSettings) -> list[str]:
    """Return the names of tokenizer files for other versions of transformers, of which it takes one.

    Raises:
        CheckpointError: one of them is no name of a file in the folder.
    """
    names = read_tokenizer_config(folder, settings).get("fast_tokenizer_files") or []
    for name in names if isinstance(names, list) else [names]:
        if not isinstance(name, str) or not is_plain(name):
            raise CheckpointError(
                f"model.name: {TOKENIZER_CONFIG} of {settings.name!r} names {name!r:.200}; allowed are names of "
                "files in the same folder"
            )
    return list(names)


def check_special_tokens(folder: Path, settings: ModelSettings) -> None:
    """Refuse all but tokens in special_tokens_map.json: the tokenizer is given the path of a vocabulary, too.

    Raises:
        CheckpointError: it is damaged, or has something else.
    """
    if not os.path.lexists(folder / SPECIAL_TOKENS):
        return
    for key in read_json(folder, SPECIAL_TOKENS, settings, JSON_BYTES):
        if not key.endswith(("_token", "_tokens")):
            raise CheckpointError(
                f"model.name: {SPECIAL_TOKENS} of {settings.name!r} has {key!r:.100}; allowed are special tokens, "
                "such as 'pad_token'"
            )


def _every_entry(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield keys and values of an object of JSON and of all within it."""
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, dict):
            yield from inner.items()
            waiting.extend(inner.values())
        elif isinstance(inner, list):
            waiting.extend(inner)


def _check_entry(key: str, value: Any, settings: ModelSettings) -> None:
    where = f"model.name: config.json of {settings.name!r} has {key}"
    bare = key.removeprefix("_").removesuffix("_internal")
    if bare in ("attn_implementation", "experts_implementation"):
        allowed = _ATTENTION if bare == "attn_implementation" else _EXPERTS
        for name in _leaves(value):
            if name is not None and name not in allowed:
                hint = did_you_mean(str(name), allowed)
                raise CheckpointError(
                    f"{where} {name!r:.200}, which would have other code run; allowed are {listed(sorted(allowed))}"
                    f"{hint}"
                )
    elif key in _REFUSED and value:
        raise CheckpointError(f"{where}, which is not allowed: {_REFUSED[key]}")
    elif key == "num_labels" or _COUNT_OF_PARTS.search(key):
        _check_number(where, value, _LABELS if key == "num_labels" else _LAYERS)


def _check_number(where: str, value: Any, largest: int) -> None:
    """Refuse a number that is too large; in a list of them, the largest counts."""
    numbers = [number for number in (value if isinstance(value, list) else [value]) if isinstance(number, int)]
    if numbers and max(numbers) > largest:
        raise CheckpointError(f"{where} {min(max(numbers), 10**20):,}; allowed are {largest:,}")


def _leaves(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in _leaves(inner)]
    return [value] if value is None or isinstance(value, str) else [repr(value)]
