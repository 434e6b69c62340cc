"""The benchmark of tokenizing compares its ids with those of the tokenizers, and times both."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.slow


def test_all_kinds_of_tokenizers_are_timed_and_give_equal_ids(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobs.bench.tokenizing", "--out", str(tmp_path), "--rows", "60"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert (tmp_path / "tokenizing.md").read_text().strip() in said.stdout
    kinds = json.loads((tmp_path / "tokenizing.json").read_text())["kinds"]
    assert [kind["kind"] for kind in kinds] == ["WordPiece", "BPE", "Unigram"]
    for kind in kinds:
        assert kind["equal"]
        assert kind["long_tokens"] == pytest.approx(kind["tokens"], rel=0.1)
        assert min(kind[name] for name in ("own", "first", "later", "long_own", "long_exact", "long_limit")) > 0
