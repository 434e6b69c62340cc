"""What the tests of the job share."""

from pathlib import Path

import pytest

from tests.helpers.checkpoints import tiny_checkpoints as tiny
from tests.helpers.checkpoints.tiny_checkpoints import Recipe


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints: `other` is a BERT with other weights and labels, and the tokenizer of `bert`."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for architecture in ("bert", "gpt2"):
        tiny.build(Recipe(architecture), folder / architecture)
    tiny.build(Recipe("bert", seed=7, num_labels=3, labels=("sport", "news", "art")), folder / "other")
    return folder
