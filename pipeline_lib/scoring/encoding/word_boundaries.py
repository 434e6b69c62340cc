"""Whether a tokenizer always cuts at a space between two words, and encodes each side as if it were alone.

The rules are about the parts of a tokenizer of the tokenizers library, and about a *plain space*: one space with a
visible ASCII character on each side. What is not known here is not trusted.
"""

import json
from collections.abc import Callable
from typing import Any

PLAIN_SPACE = " (?=[!-~])(?<=[!-~] )"
"""A regular expression for a plain space; it begins with the space, which is found fast."""

_State = dict[str, Any]

# Each of these gives a character, or a character with its combining ones, the same answer wherever it stands.
# Nothing is combined with a space that a visible ASCII character follows.
_LOCAL_NORMALIZERS = frozenset(
    {"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "StripAccents"}
)
# These match runs of white space, and no plain space.
_RUNS_OF_SPACES = frozenset({" {2,}", r"\s{2,}|[\n\r\t]"})
_MODELS = frozenset({"BPE", "Unigram", "WordLevel", "WordPiece"})
_CUTTING = frozenset({"BertPreTokenizer", "Whitespace", "WhitespaceSplit"})
_ISOLATING = frozenset({"Contiguous", "Isolated", "Removed"})
# No match of these has a space behind a visible character, and only white space looks ahead; so each plain space
# begins a match. They are those of Qwen2 and of Llama 3.
_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_OTHERS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORD_PATTERNS = frozenset(rf"{_LETTERS}|{digits}|{_OTHERS}" for digits in (r"\p{N}", r"\p{N}{1,3}"))


def cuts_at_spaces(backend: Any) -> bool:
    """Tell whether the tokens of a text are those before a plain space, and then those from that space on.

    Args:
        backend: a `tokenizers.Tokenizer`.
    """
    try:
        normalizers = _parts(backend.normalizer, "normalizers")
        cutters = _parts(backend.pre_tokenizer, "pretokenizers")
    except Exception:  # noqa: BLE001 - a part that is written in Python has no state
        return False
    return (
        all(_is_local_token(token) for token in backend.get_added_tokens_decoder().values())
        and all(_is_local_normalizer(part) for part in normalizers)
        and all(_is_local_cutter(part) for part in cutters)
        and _is_cut(cutters)
        and type(backend.model).__name__ in _MODELS
        # These draw another way to cut a word each time.
        and not any(getattr(backend.model, name, None) for name in ("dropout", "alpha", "nbest_size"))
    )


def _parts(component: Any, of_sequence: str) -> list[_State]:
    """Return the states of a component's parts, in their order."""
    if component is None:
        return []
    state: _State = json.loads(component.__getstate__())
    return _flat(state, of_sequence)


def _flat(state: _State, of_sequence: str) -> list[_State]:
    if state["type"] != "Sequence":
        return [state]
    return [part for each in state[of_sequence] for part in _flat(each, of_sequence)]


def _is_local_token(token: Any) -> bool:
    """Tell whether an added token can neither contain a plain space nor take the one behind it.

    A token may take the white space before it: that is on its own side of the cut.
    """
    return not (token.rstrip or "▁" in token.content or any(map(str.isspace, token.content)))


def _is_local_normalizer(state: _State) -> bool:
    kind = state["type"]
    if kind == "Strip":
        return not state["strip_left"]
    return _is_local_replacement(state) if kind == "Replace" else kind in _LOCAL_NORMALIZERS


def _is_local_replacement(state: _State) -> bool:
    (kind, pattern), content = next(iter(state["pattern"].items())), state["content"]
    if kind == "Regex":
        return pattern in _RUNS_OF_SPACES and content in {" ", "▁"}
    return not any(map(str.isspace, pattern + content))


def _is_local_cutter(state: _State) -> bool:
    rule = _LOCAL_CUTTERS.get(state["type"])
    return rule is not None and rule(state)


_LOCAL_CUTTERS: dict[str, Callable[[_State], bool]] = {
    **dict.fromkeys(_CUTTING, lambda _: True),
    "ByteLevel": lambda _: True,
    "Digits": lambda _: True,
    "Metaspace": lambda _: True,
    "Punctuation": lambda state: state["behavior"] in _ISOLATING,
    "Split": lambda state: (
        state["pattern"].get("Regex") in _WORD_PATTERNS and state["behavior"] == "Isolated" and not state["invert"]
    ),
}


def _is_cut(cutters: list[_State]) -> bool:
    """Tell whether pre-tokenizers of the known kinds cut at every plain space."""
    for state in cutters:
        kind = state["type"]
        if kind in {"ByteLevel", "Metaspace"}:  # they put another character in the place of the space
            return bool(state["use_regex"] if kind == "ByteLevel" else state["split"])
        if kind in _CUTTING or kind == "Split":
            return True
    return False
