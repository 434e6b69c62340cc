"""The well-known figures with the hub checkpoint itself, where a hub can be reached."""

import os
import urllib.request

import numpy as np
import pandas as pd
import pytest

from pipeline_lib import Scorer
from pipeline_lib.errors import CheckpointError

NAME = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> str:
    """The checkpoint's name, if its configuration can be fetched."""
    from huggingface_hub import constants

    try:
        urllib.request.urlopen(f"{constants.ENDPOINT}/{NAME}/resolve/main/config.json", timeout=5).close()  # noqa: S310
    except OSError as error:
        pytest.skip(f"no hub can be reached: {error}")
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return NAME


@pytest.mark.hub
def test_the_course_texts_get_the_course_figures(hub: str) -> None:
    """Logits, scores and labels as the Hugging Face course prints them."""
    scorer = Scorer({"model": {"name": hub}, "output": {"scores": "all", "logits": True}})
    texts = ["I've been waiting for a HuggingFace course my whole life.", "I hate this so much!"]
    found = scorer(pd.DataFrame({"text": texts}))
    assert found["label"].tolist() == ["POSITIVE", "NEGATIVE"]
    np.testing.assert_allclose(
        np.array(found["logits"].tolist()), np.array([[-1.5607, 1.6123], [4.1692, -3.3464]]), atol=1e-4
    )
    np.testing.assert_allclose(
        np.array(found["scores"].tolist()), np.array([[0.0402, 0.9598], [0.9995, 0.0005]]), atol=1e-4
    )
    assert found["n_tokens"].tolist() == [16, 8]


def test_a_missing_checkpoint_is_reported_with_every_place_that_was_searched() -> None:
    with pytest.raises(
        CheckpointError, match="is no folder here, is not in the cache, and the hub can't be reached"
    ):
        Scorer({"model": {"name": "nobody/nothing"}})
