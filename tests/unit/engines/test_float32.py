"""float32 is computed with all its digits, whatever was set in the process before."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_TOLD = (
    "pass",
    "torch.set_float32_matmul_precision('high')",
    "torch.set_float32_matmul_precision('medium')",
    "torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True",
    "torch.backends.fp32_precision = 'tf32'",
    "torch.backends.cudnn.conv.fp32_precision = torch.backends.cuda.matmul.fp32_precision = 'tf32'",
)
_PROGRAM = """
import sys
import torch
from pipeline_lib import Scorer
for told in sys.argv[2:]:
    exec(told)
    Scorer({"model": {"name": sys.argv[1], "engine": "torch"}})
    torch_parts = torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn
    precisions = {part.fp32_precision for part in (torch.backends, torch.backends.mkldnn.matmul, *torch_parts)}
    legacy = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    print(told, "->", *precisions, *legacy, torch.get_float32_matmul_precision())
"""


@pytest.mark.slow
def test_no_part_of_pytorch_rounds_float32(checkpoint: Path) -> None:
    environment = {**os.environ, "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}
    command = [sys.executable, "-c", _PROGRAM, str(checkpoint), *_TOLD]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    lines = [line for line in said.splitlines() if " -> " in line]
    assert lines == [f"{told} -> ieee False False highest" for told in _TOLD]
