"""A checkpoint is tried around every threshold of its configuration, within the cost of an inspection."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.engines.inspection.probe_lengths import lengths_to_try

SMALL, BASE, LARGE = 10_000_000, 85_000_000, 7_000_000_000
LONGROPE = {"rope_type": "longrope", "original_max_position_embeddings": 4096}
YARN = {"rope_type": "yarn", "original_max_position_embeddings": 4096}


def test_a_text_as_long_as_the_limit_is_tried() -> None:
    assert lengths_to_try({"max_position_embeddings": 512}, 512, BASE).long == 512
    assert lengths_to_try({}, 64, BASE).long == 64
    assert lengths_to_try({}, None, BASE).long == 1024


@pytest.mark.parametrize(
    "config",
    [
        {"sliding_window": 100},
        {"block_size": 100},
        {"attention_window": [100, 100]},
        {"local_attn_chunk_length": 100},
        {"axial_pos_shape": [100, 2]},
        {"original_max_position_embeddings": 100},
        {"rope_parameters": {"original_max_position_embeddings": 100}},
        {"text_config": {"sliding_window": 100}},
        {"local_attention": 100},
        {"segment_means_seq_len": 100},
    ],
)
def test_lengths_around_a_threshold_are_tried(config: dict[str, Any]) -> None:
    assert {99, 100, 101} <= set(lengths_to_try(config, 512, SMALL).between)


@pytest.mark.parametrize(
    "config",
    [
        {"hidden_size": 100},
        {"vocab_size": 100},
        {"num_hidden_layers": 100},
        {"sliding_window_pattern": 100},
        {"max_window_layers": 100},
        {"vision_config": {"num_positions": 100}},
        {"sliding_window": None},
        {"use_sliding_window": True},
    ],
)
def test_settings_that_are_no_lengths_add_none(config: dict[str, Any]) -> None:
    assert lengths_to_try(config, 512, SMALL) == lengths_to_try({}, 512, SMALL)


def test_the_length_from_which_bigbird_is_sparse_is_crossed() -> None:
    found = lengths_to_try({"block_size": 128, "num_random_blocks": 3}, 4096, BASE)
    assert found.long == 11 * 128 + 1


def test_a_threshold_beyond_the_usual_length_is_crossed_where_that_is_affordable() -> None:
    assert lengths_to_try({"rope_parameters": LONGROPE}, 131_072, SMALL).long == 4097
    large = lengths_to_try({"rope_parameters": LONGROPE}, 131_072, LARGE)
    assert large.long == 512
    assert large.untried == ("rope_parameters.original_max_position_embeddings=4096",)


@pytest.mark.parametrize("config", [{"rope_parameters": YARN}, {"sliding_window": 4096}, {"rope_parameters": None}])
def test_settings_that_only_decide_a_mask_need_not_be_tried(config: dict[str, Any]) -> None:
    assert lengths_to_try(config, 131_072, LARGE).untried == ()


NAMES = (
    "sliding_window",
    "block_size",
    "max_position_embeddings",
    "attention_window",
    "chunk_length",
    "hidden_size",
)


@given(
    config=st.dictionaries(
        st.sampled_from(NAMES), st.integers(-1, 200_000) | st.lists(st.integers(1, 9_000)) | st.none()
    ),
    limit=st.none() | st.integers(1, 1_000_000),
    parameters=st.integers(0, 10_000_000_000),
)
def test_an_inspection_takes_seconds_whatever_the_configuration(
    config: dict[str, Any], limit: int | None, parameters: int
) -> None:
    found = lengths_to_try(config, limit, parameters)
    assert found.long <= min(limit or 8_192, 8_192)
    assert all(1 < length < found.long for length in found.between)
    tokens = (3 + 3 * len(found.between)) * found.long
    assert 2 * parameters * tokens <= max(2e12, 2 * parameters * 2 * 1_536)
    assert tokens <= 2 * 16_384
