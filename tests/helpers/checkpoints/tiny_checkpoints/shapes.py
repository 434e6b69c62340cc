"""How large the parts of tiny models are, by family."""

from collections.abc import Callable
from typing import Any

from tests.helpers.checkpoints.tiny_checkpoints.recipe import Recipe


def _encoder(recipe: Recipe) -> dict[str, Any]:
    reserved = 2 if recipe.architecture in ("roberta", "xlm-roberta", "camembert", "mpnet") else 0
    return {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": recipe.max_positions + reserved,
        **({"embedding_size": 24} if recipe.architecture in ("albert", "electra") else {}),
        **(
            {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False}
            if recipe.architecture == "deberta-v2"
            else {}
        ),
        **(
            {"global_attn_every_n_layers": 2, "local_attention": 16, "cls_token_id": None, "sep_token_id": None}
            if recipe.architecture == "modernbert"
            else {}
        ),
    }


_SHAPES: dict[str, Callable[[Recipe], dict[str, Any]]] = {
    "encoder": _encoder,
    "distilbert": lambda r: {
        "dim": 32,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 48,
        "max_position_embeddings": r.max_positions,
    },
    "gpt2": lambda r: {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": r.max_positions},
    "opt": lambda r: {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "ffn_dim": 48,
        "max_position_embeddings": r.max_positions,
        "word_embed_proj_dim": 32,
    },
    "bart": lambda r: {
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "max_position_embeddings": r.max_positions,
    },
    "t5": lambda _: {
        "d_model": 32,
        "d_kv": 16,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 2,
        "decoder_start_token_id": 0,
    },
    "xlnet": lambda _: {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48},
}


def shape_of(recipe: Recipe, family: str) -> dict[str, Any]:
    """Return the configuration's keys for the sizes of a model."""
    grouped = {"num_key_value_heads": 1} if recipe.architecture in ("qwen2", "llama") else {}
    return _SHAPES[family](recipe) | grouped
