"""Which files of a checkpoint folder are loaded, and what is refused before any of them is.

transformers loads each file that a checkpoint's JSON files name, wherever it lies. Here these names are checked
first, so that nothing is loaded that was not checked, and the fingerprint covers all that is loaded.
"""

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from pipeline_lib.checkpoints.checkpoint_json import (
    CONFIG,
    SPECIAL_TOKENS,
    TOKENIZER_CONFIG,
    check_special_tokens,
    read_config,
    versions_of_tokenizer,
)
from pipeline_lib.checkpoints.json_files import JSON_BYTES, is_plain, plain_file, read_json
from pipeline_lib.errors import CheckpointError, listed
from pipeline_lib.settings.sections.model import ModelSettings

# The `vocab_files_names` of every tokenizer class of transformers, and other files that some of them look for. To
# read them from the classes takes seconds, so a test does, and `load_tokenizer` for the class that it has loaded.
TOKENIZER_FILES = (
    "added_tokens.json",
    "bpe.codes",
    "byte_maps.json",
    "dict.txt",
    "emoji.json",
    "entity_vocab.json",
    "merges.txt",
    "normalizer.json",
    "prophetnet.tokenizer",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "source.spm",
    SPECIAL_TOKENS,
    "spiece.model",
    "spm.model",
    "spm_char.model",
    "target.spm",
    "target_vocab.json",
    "tekken.json",
    "tiktoken.model",
    "tokenizer.json",
    "tokenizer.model",
    TOKENIZER_CONFIG,
    "vocab-src.json",
    "vocab-tgt.json",
    "vocab.json",
    "vocab.txt",
    "word_pronunciation.json",
    "word_shape.json",
)
EXTRA_WEIGHTS = ("head.safetensors", "readout.safetensors")
"""What some model classes load beside their weights (`extra_files` of the configuration's class)."""

_SAFE = ("model.safetensors", "model.safetensors.index.json")
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_PICKLES = ("*.bin", "*.pt", "*.pth")
_OTHER_WEIGHTS = ("*.h5", "*.msgpack", "*.onnx", "*.ot", "*.gguf", "*.tflite")
# Any file of such a name makes transformers read all *.safetensors of the folder instead of those in its index.
_DISTRIBUTED = "shard-?????-model-?????-of-?????.safetensors"
_ADAPTER = "adapter_config.json"


def fetch_patterns(settings: ModelSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return patterns of the files that are fetched from a hub or a URL, and of those among them that are not.

    More is fetched than is loaded, since only the files themselves tell what is loaded. An adapter's configuration
    is fetched too, so that it can be refused.
    """
    pickles = () if settings.allow_pickle else _PICKLES
    if settings.allow_remote_code:  # which may look for a file of any name
        return ("*",), ("*/*", *pickles, *_OTHER_WEIGHTS)
    chosen = ("*.json", "*.safetensors", *TOKENIZER_FILES, *(_PICKLES if settings.allow_pickle else ()))
    return chosen, ("*/*",)


def is_fetched(name: str, settings: ModelSettings) -> bool:
    """Tell whether a file of this name, which is no path, is one to fetch."""
    chosen, unwanted = fetch_patterns(settings)
    return any(fnmatchcase(name, pattern) for pattern in chosen) and not any(
        fnmatchcase(name, pattern) for pattern in unwanted
    )


def loaded_files(folder: Path, settings: ModelSettings) -> list[Path]:
    """Return the files that are loaded: configuration, weights and tokenizer; with code of its own, all files.

    Raises:
        CheckpointError: a file is missing, lies elsewhere, is no regular file, is damaged, or asks for something
            that is not allowed.
    """
    read_config(folder, settings)
    files = {folder / CONFIG, *weight_files(folder, settings), *tokenizer_files(folder, settings)}
    if settings.allow_remote_code:  # which may read any file; the weights are known all the same
        names = (path.name for path in folder.iterdir() if path.is_file() and path.suffix != ".safetensors")
        files |= {plain_file(folder, name, settings) for name in names if is_fetched(name, settings)}
    return sorted(files)


def weight_files(folder: Path, settings: ModelSettings) -> list[Path]:
    """Return the files that hold the weights, after the index that names them if there are several.

    They are safetensors if there are any that transformers would find, else pickles, if these are allowed.

    Raises:
        CheckpointError: there are none, the index is damaged, or a file that it names is not one of the folder.
    """
    _check_folder(folder, settings)
    names = (*_SAFE, *(_PICKLED if settings.allow_pickle else ()))
    name = next((name for name in names if os.path.lexists(folder / name)), None)
    if name is None:
        raise CheckpointError(_without_weights(folder, settings))
    first = plain_file(folder, name, settings)
    files = [first, *(_shards(folder, name, settings) if name.endswith(".json") else ())]
    extra = [name for name in EXTRA_WEIGHTS if os.path.lexists(folder / name)]
    return files + [plain_file(folder, name, settings) for name in extra]


def _check_folder(folder: Path, settings: ModelSettings) -> None:
    if os.path.lexists(folder / _ADAPTER):
        raise CheckpointError(
            f"model.name: {settings.name!r} is an adapter, or has one ({_ADAPTER}); merge it into its base model "
            "(merge_and_unload) and save that"
        )
    for path in folder.glob(_DISTRIBUTED):
        raise CheckpointError(
            f"model.name: {settings.name!r} has weights of a distributed run ({path.name!r}); allowed are "
            f"{_SAFE[0]} or {_SAFE[1]}"
        )


def _without_weights(folder: Path, settings: ModelSettings) -> str:
    pickles = sorted(path.name for ending in _PICKLES for path in folder.glob(ending))
    others = sorted(path.name for path in folder.glob("*.safetensors"))
    message = f"model.name: {settings.name!r} has no .safetensors weights"
    if others:
        message += f" of the names that are loaded ({_SAFE[0]}, or {_SAFE[1]}), only {listed(others)}"
    if pickles and not settings.allow_pickle:
        message += f", only {listed(pickles)}, which can run code; to trust it set model.allow_pickle"
    return message


def _shards(folder: Path, index: str, settings: ModelSettings) -> list[Path]:
    """Return the files that an index of weights names, which must all lie beside it."""
    content = read_json(folder, index, settings, JSON_BYTES)
    weights, metadata = content.get("weight_map"), content.get("metadata")
    if not isinstance(weights, dict) or not weights or not isinstance(metadata, dict):
        raise CheckpointError(f"model.name: {index} of {settings.name!r} has no weight_map or no metadata")
    ending = ".safetensors" if index == _SAFE[1] else ".bin"
    names = list(dict.fromkeys(weights.values()))
    for name in names:
        if not isinstance(name, str) or not is_plain(name) or not name.endswith(ending):
            raise CheckpointError(
                f"model.name: {index} of {settings.name!r} names {name!r:.200}; allowed are names of *{ending} "
                "files in the same folder"
            )
    missing = [name for name in names if not os.path.lexists(folder / name)]
    if missing:
        raise CheckpointError(
            f"model.name: can't load the weights of {settings.name!r}: {index} names {listed(missing, 4)}, which "
            "is not there"
        )
    return [plain_file(folder, name, settings) for name in names]


def tokenizer_files(folder: Path, settings: ModelSettings) -> Iterator[Path]:
    """Yield the files of the tokenizer that are there, in the order in which they are looked for.

    Raises:
        CheckpointError: one lies elsewhere, is no regular file, is damaged, or asks for what is not allowed.
    """
    for name in (*TOKENIZER_FILES, *versions_of_tokenizer(folder, settings)):
        if os.path.lexists(folder / name):
            yield plain_file(folder, name, settings)
    check_special_tokens(folder, settings)
