"""How many tokens a text may have: what the user, the tokenizer and the model's table of positions allow."""

from typing import Any

# A tokenizer without a limit of its own says 1e30; anything above this is no real length.
_NO_LIMIT = 1e20
_POSITION_TABLES = ("position_embeddings", "wpe", "embed_positions", "position_embedding", "pos_embeddings")


def max_tokens_of(tokenizer: Any, model: Any, wanted: int | None) -> int | None:
    """Return the longest text in tokens: the tightest of the user's, the tokenizer's and the model's limit."""
    limits = [wanted, _position_limit(model)]
    if 0 < tokenizer.model_max_length < _NO_LIMIT:
        limits.append(int(tokenizer.model_max_length))
    return min((limit for limit in limits if limit is not None), default=None)


def first_position(model: Any) -> int:
    """Return the number of a text's first position: models like RoBERTa reserve the first ones for padding."""
    table = _position_table(model)
    return _reserved(table) if table is not None else 0


def _position_table(model: Any) -> Any:
    tables = (
        module
        for name, module in model.named_modules()
        if getattr(module, "num_embeddings", None) and name.rsplit(".", 1)[-1] in _POSITION_TABLES
    )
    return next(tables, None)


def _reserved(table: Any) -> int:
    padding = getattr(table, "padding_idx", None)
    return int(getattr(table, "offset", 0) if padding is None else padding + 1)


def _position_limit(model: Any) -> int | None:
    """Return how many positions the model has, less those that a table keeps for padding."""
    table = _position_table(model)
    config = model.config.get_text_config()
    stated = [getattr(config, name, None) for name in ("max_position_embeddings", "max_seq_len")]
    limits = [limit for limit in stated if isinstance(limit, int) and limit > 0]
    if table is not None:
        # Models like Nyströmformer have a longer table than positions.
        limits.append(int(table.num_embeddings) - _reserved(table))
    return min(limits, default=None)
