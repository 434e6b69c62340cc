"""Batches that are too large for the memory are computed in smaller ones."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline_lib import Scorer
from tests.helpers.checkpoints import poisoned


def test_memory_that_runs_out_makes_batches_smaller_for_good_and_loses_no_row(
    checkpoint: Path, tmp_path: Path
) -> None:
    refused = tmp_path / "refused"
    hungry = poisoned.build(checkpoint, tmp_path / "hungry", refused, room=100)
    words = ("good", "bad", "fine", "great", "awful", "average", "okay", "wonderful")
    texts = pa.table({"text": [f"{one} {two}" for one in words for two in words]})
    model, tuning = {"name": str(hungry), "allow_remote_code": True}, {"tokens_per_batch": 300}
    scorer = Scorer({"model": model, "tuning": tuning})
    found = scorer(texts)
    assert len(refused.read_text()) >= 2
    refused.unlink()
    again = scorer(texts)
    assert not refused.exists(), "batches that are too large were tried again"
    whole = Scorer({"model": {"name": str(checkpoint)}, "tuning": tuning})(texts)
    for scored in (found, again):
        assert scored.column("label").equals(whole.column("label"))
        np.testing.assert_allclose(scored.column("score"), whole.column("score"), rtol=0, atol=1e-5)
