"""The benchmark times all contenders on the same rows, and its figures are consistent."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification
from transformers.pytorch_utils import Conv1D

from jobs.bench.flops import peak_flops, useful_flops
from jobs.bench.inputs import texts_of
from tests.conftest import write_parquet
from tests.helpers.checkpoints import tiny_checkpoints
from tests.helpers.checkpoints.tiny_checkpoints import ARCHITECTURES, Recipe
from tests.helpers.command_line import module

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_contender_is_timed_and_all_agree(tmp_path: Path, checkpoint: Path) -> None:
    names = ["pipeline, batch 1", "pipeline, batch 8", "CrossEncoder", "our bare loop", "our whole job"]
    options = ["--model", str(checkpoint), "--rows", "120", "--peer-rows", "60", "--rounds", "1", "--device", "cpu"]
    command = [sys.executable, "-m", "jobs.bench", *options, "--out", str(tmp_path)]
    for name in names:
        command += ["--only", name]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    figures = json.loads((tmp_path / "bench.json").read_text())
    assert [found["name"] for found in figures["contenders"]] == names
    for found in figures["contenders"]:
        assert found["rows"] == (120 if found["name"].startswith("our") else 60)
        assert found["compared"] == 60
        if found["name"] != "CrossEncoder":  # which scores pairs
            assert found["flips"] == 0
            assert found["worst_difference"] <= 1e-5
        assert found["peak_bytes"] > 1 << 27
        assert found["padding"] >= 1
        assert 0 < found["share_of_peak_loop"] < 1
    startup = figures["startup"]
    assert 0 < startup["first"] <= startup["published"] <= startup["ended"]
    assert startup["empty"] > 0
    assert (tmp_path / "bench.md").read_text().strip() in said.stdout
    assert all(name in said.stdout for name in names)
    assert "</svg>" in (tmp_path / "bench.svg").read_text()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_gpu_benchmark_runs_without_a_gpu(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobs.bench.gpu", "--model", "minilm", "--rows", "40", "--peer-rows", "20"]
    said = subprocess.run([*command, "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    figures = json.loads((tmp_path / "minilm" / "bench.json").read_text())
    assert len(figures["contenders"]) == 5
    assert all(found["flips"] == 0 for found in figures["contenders"])
    assert 0 < figures["job_metrics"][0]["busy"]["model"] <= 1
    assert "## minilm" in said.stdout


def test_texts_come_from_folders_globs_and_csv_as_in_the_job(tmp_path: Path) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"words": ["one", None, "two"]})
    (tmp_path / "in" / "more").mkdir()
    (tmp_path / "in" / "more" / "b.csv").write_text('id,words\n1,"three, or\nfour"\n2,five\nragged\n')
    (tmp_path / "in" / "notes.txt").write_text("passed over")
    (tmp_path / "in" / "_hidden.parquet").write_text("passed over")
    everything = ["one", "two", "three, or\nfour", "five"]
    assert sorted(texts_of(4, [f"{tmp_path}/in/"], "words")) == sorted(everything)
    assert sorted(texts_of(2, [f"{tmp_path}/in/*.parquet"], "words")) == ["one", "two"]
    drawn = texts_of(3, [f"{tmp_path}/in/*.parquet", f"{tmp_path}/in/more/b.csv"], "words")
    assert len(set(drawn) & set(everything)) == 3


@pytest.mark.parametrize(
    ("program", "options", "message"),
    [
        ("bench", "--only nobody", "'nobody' is none of 'pipeline, batch 1'"),
        ("bench", "--input /nowhere", "input.path: no such file or folder: '/nowhere'"),
        ("bench", "--input configs/sample/reviews --text-column txt", "has no column 'txt'; did you mean 'text'?"),
        (
            "bench",
            "--input configs/sample/reviews --rows 9999",
            "--rows: the input has 1,967 texts, 9,999 are asked",
        ),
        ("bench", "--input README.md", "input.path: 'README.md' is not one of"),
        ("bench", "--model /nowhere", "model.name: no folder '/nowhere'"),
        ("bench", "--precision float8", "model.precision: Input should be 'float32'"),
        ("bench", "--engine fast", "model.engine: Input should be 'auto'"),
        ("bench", "--device tpu", "--device: 'tpu' is none of 'auto', 'cpu', 'cuda'"),
        ("bench", "--rows 0", "'--rows'"),
        ("bench", "--rounds many", "'--rounds'"),
        ("bench", "--out /proc/nothing", "--out: can't make the folder '/proc/nothing'"),
        ("bench", "--bogus", "No such option: --bogus"),
        ("bench.gpu", "--model /nowhere", "model.name: no folder '/nowhere'"),
        ("bench.gpu", "--input /nowhere", "input.path: no such file or folder: '/nowhere'"),
        ("bench.tokenizing", "--input /nowhere", "input.path: no such file or folder: '/nowhere'"),
        ("bench.scale", "--model /nowhere", "model.name: no folder '/nowhere'"),
        ("bench.scale", "--shards 0", "'--shards'"),
        ("bench.scale", "--what else", "'--what'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(program: str, options: str, message: str, tmp_path: Path) -> None:
    out = [] if "--out" in options else ["--out", str(tmp_path)]
    said = module(f"jobs.{program}", *options.split(), *out)
    assert said.returncode == 2, said.stderr
    (line,) = said.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_useful_flops_are_at_least_those_of_the_linear_layers(architecture: str, tmp_path: Path) -> None:
    folder = tiny_checkpoints.build(Recipe(architecture), tmp_path / "model")
    model = AutoModelForSequenceClassification.from_pretrained(folder).base_model
    linear = (torch.nn.Linear, Conv1D)
    weights = sum(module.weight.numel() for module in model.modules() if isinstance(module, linear))
    one, many = (useful_flops(str(folder), np.array([length])) for length in (1, 40))
    assert one >= 2 * weights * 0.9
    assert many >= 40 * one * 0.9
    assert useful_flops(str(folder), np.array([1, 40])) == pytest.approx(one + many)


@pytest.mark.slow
def test_the_peak_of_this_machine_is_measured() -> None:
    found = peak_flops("cpu", "float32", 1)
    assert set(found) == {"torch", "oneDNN"}
    assert all(1e9 < rate < 1e13 for rate in found.values())
