"""A tiny random checkpoint of any architecture that transformers lists for sequence classification."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from pipeline_lib.engines.engine import no_cache_option

EVERY = tuple(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES)
POSITIONS = 1_024
_WORDS = 250
_SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]

# By field of the configuration; a name with a dot holds for one architecture.
_SIZES: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "emb_dim", "input_embedding_size"), 32),
    **dict.fromkeys(("embedding_size", "word_embed_proj_dim", "true_hidden_size", "pooler_hidden_size"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 2),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads"), 1),
    **dict.fromkeys(
        ("intermediate_size", "d_ff", "dff", "ffn_dim", "hidden_dim", "d_inner", "ffn_hidden_size"), 48
    ),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "feed_forward_size", "intra_bottleneck_size"), 48),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "n_inner"), 24),
    **dict.fromkeys(("head_dim", "d_kv", "d_head", "kv_channels", "attention_head_size", "v_head_dim"), 16),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk"), 2),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len"), POSITIONS),
    "vocab_size": len(_SPECIAL) + _WORDS,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 16,
    "qk_head_dim": 32,
    "index_n_heads": 2,
    "index_head_dim": 16,
    "gated_norm_rank": 8,
    "rotary_dim": 8,
    "sliding_window": 48,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "cls_token_id": 1,
    "eos_token_id": 2,
    "sep_token_id": 2,
}
_HEADS = {"head_dim": 16}
_LINEAR = {"layer_types": ["linear_attention", "full_attention"]}
_ALIKE = {"num_key_value_heads": 2}
_OF_ONE: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 24},
    **dict.fromkeys(("axk1", "axk2", "deepseek_v3", "minicpm3", "esmc"), _ALIKE),
    "deepseek_v2": {**_ALIKE, "num_experts_per_tok": 2},
    "diffllama": {"num_key_value_heads": 2, "num_attention_heads": 4, "head_dim": 16},
    "esm": {"vocab_size": len(_SPECIAL) + _WORDS, "pad_token_id": 0, "mask_token_id": 4},
    **dict.fromkeys(("hunyuan_v1_dense", "hunyuan_v1_moe", "ministral"), _HEADS),
    **dict.fromkeys(("qwen3_next", "qwen3_5_text"), _LINEAR),
    "qwen3_5": {
        "text_config": {
            **_LINEAR,
            "vocab_size": 255,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "intermediate_size": 48,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "max_position_embeddings": POSITIONS,
            "pad_token_id": 0,
        }
    },
    "lilt": {"hidden_size": 96, "channel_shrink_ratio": 4},
    "zamba": {
        "num_hidden_layers": 3,
        "layers_block_type": ["linear_attention", "hybrid", "hybrid"],
        "attention_hidden_size": 64,
        "attention_head_dim": 32,
    },
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False},
    "layoutlmv3": {"visual_embed": False},
    "luke": {"entity_vocab_size": 8, "entity_emb_size": 16},
    "t5": {"decoder_start_token_id": 0},
    "xmod": {"default_language": "en_XX"},
    "mistral4": {**_ALIKE, "qk_rope_head_dim": 16, "head_dim": 16},
    "big_bird": {"block_size": 16, "num_random_blocks": 2},
    "bigbird_pegasus": {"block_size": 16, "num_random_blocks": 2},
    "funnel": {"block_sizes": [1, 1], "num_decoder_layers": 1},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 48, "num_layers": 2},
    "longformer": {"attention_window": 32},
    "mobilebert": {"embedding_size": 32, "intra_bottleneck_size": 32, "num_feedforward_networks": 2},
    "modernbert": {"local_attention": 32, "global_attn_every_n_layers": 2},
    "perceiver": {"num_latents": 8, "d_latents": 32, "num_self_attends_per_block": 2},
    "phi3": {
        "original_max_position_embeddings": 64,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 10_000.0,
            "short_factor": [1.0] * 8,
            "long_factor": [1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0],
            "original_max_position_embeddings": 64,
        },
    },
    "reformer": {
        "axial_pos_shape": [32, 32],
        "axial_pos_embds_dim": [16, 16],
        "attn_layers": ["local", "lsh"],
        "num_buckets": 8,
    },
}
_RESERVE = (
    "roberta",
    "camembert",
    "mpnet",
    "longformer",
    "luke",
    "ibert",
    "xmod",
    "data2vec",
    "layoutlmv3",
    "lilt",
)
_NO_MASK = ("fnet",)


class CannotBeBuiltError(Exception):
    """transformers can't make this architecture from a small configuration alone."""


def build(architecture: str, folder: Path, **changes: Any) -> Path:
    """Write a checkpoint with three labels, 1,024 positions and random weights, and return the folder.

    Args:
        architecture: as in `model_type`.
        folder: to write into.
        changes: fields of the configuration.

    Raises:
        CannotBeBuiltError: transformers can't make it, or it does not answer a short text.
    """
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    try:
        config = _config(architecture, changes)
        model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
        size = sum(weight.numel() for weight in model.parameters())
        if size > 20_000_000:
            raise CannotBeBuiltError(f"{size:,} weights")  # noqa: TRY301
        _sharpen(model)
        with torch.inference_mode():
            model(input_ids=torch.tensor([[1, 7, 9, 2]]), **no_cache_option(model))
        model.save_pretrained(folder)
    except Exception as error:
        raise CannotBeBuiltError(f"{type(error).__name__}: {' '.join(str(error).split()):.150}") from error
    _tokenizer(architecture, config).save_pretrained(folder)
    return folder


def _config(architecture: str, changes: dict[str, Any]) -> Any:
    kind = transformers.CONFIG_MAPPING[architecture]
    fields = kind().to_dict()
    sizes = _SIZES | _OF_ONE.get(architecture, {}) | changes
    reserved = 2 if any(name in architecture for name in _RESERVE) else 0
    chosen = (
        _shrunk(fields, sizes, reserved) | {name: sizes[name] for name in _OF_ONE.get(architecture, {})} | changes
    )
    return kind(**chosen, num_labels=3)


def _shrunk(fields: Mapping[str, Any], sizes: Mapping[str, Any], reserved: int) -> dict[str, Any]:
    """Return those fields that are to be small; lists of a layer each are left to the configuration itself."""
    chosen: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping) and name.endswith(("_config", "encoder", "decoder")):
            chosen[name] = _shrunk(value, sizes, reserved)
        elif name in sizes and (value is not None or name in ("pad_token_id", "num_key_value_heads")):
            chosen[name] = sizes[name]
    if reserved and "max_position_embeddings" in chosen:
        chosen["max_position_embeddings"] += reserved
    return chosen


def _sharpen(model: Any) -> None:
    """Draw weights so large that every token matters to the answer."""
    for name, weight in model.named_parameters():
        if weight.dim() > 1 and "norm" not in name.lower():
            torch.nn.init.normal_(weight, std=0.35 if weight.shape[-1] <= 64 else 0.2)
        if name.endswith(".q.weight") and hasattr(model.config, "d_kv"):
            # T5's kind leaves the division by the root of the width to these weights; without it rounding shows.
            weight.data.div_(model.config.d_kv**0.5)


def _tokenizer(architecture: str, config: Any) -> Any:
    words = [f"w{number}" for number in range(_WORDS)]
    vocabulary = {word: number for number, word in enumerate([*_SPECIAL, *words])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106 - no secret
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ends = [("[CLS]", 1), ("[SEP]", 2)]
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ends
    )
    inputs = ["input_ids"] if architecture in _NO_MASK else ["input_ids", "attention_mask"]
    if getattr(config, "type_vocab_size", 0) > 1:
        inputs.append("token_type_ids")
    named = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, model_input_names=inputs, **named)
