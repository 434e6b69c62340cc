"""Int8 is near float32, is the same for a row whatever stands beside it, and is refused where it can't be right."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline_lib import Scorer
from pipeline_lib.engines.computation import check_device
from pipeline_lib.engines.inspection.calibration import calibration_texts
from pipeline_lib.engines.inspection.inspector import inspect_checkpoint
from pipeline_lib.engines.openvino import availability
from pipeline_lib.engines.openvino.availability import INT8
from pipeline_lib.errors import CheckpointError, InputError, SettingsError
from pipeline_lib.machine.processor import Processor, processor
from pipeline_lib.settings.settings_file import parse_settings
from tests.conftest import write_parquet
from tests.helpers.checkpoints import poisoned
from tests.helpers.checkpoints import tiny_checkpoints as tiny
from tests.helpers.checkpoints.tiny_checkpoints import ADVERSARIAL_TEXTS, Recipe

TEXTS = [text for text in ADVERSARIAL_TEXTS if text.strip()]
# Of each kind of attention and of positions one; OpenVINO can't run BART, see `test_engine_choice`.
SEVERAL = ("bert", "roberta", "deberta-v2", "modernbert", "qwen2", "bart")


@pytest.fixture(autouse=True)
def int8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor with instructions for int8, with converted models in a folder of the test."""
    monkeypatch.setenv(INT8, "present")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def sections(folder: Path, calibration: Path | None, **model: Any) -> dict[str, Any]:
    path = {} if calibration is None else {"calibration": str(calibration)}
    return {
        "model": {"name": str(folder), "precision": "int8", **path, **model},
        "input": {"path": "-"},
        "output": {"path": "-", "scores": "all", "logits": True},
    }


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Texts to calibrate on."""
    return write_parquet(tmp_path / "sample.parquet", {"text": [*TEXTS, None, "  "]})


@pytest.mark.slow
@pytest.mark.openvino
@pytest.mark.parametrize("architecture", SEVERAL)
def test_scores_in_int8_are_near_float32_or_the_model_is_refused(
    architecture: str, sample: Path, tmp_path: Path
) -> None:
    folder = tiny.build(Recipe(architecture, num_labels=3), tmp_path / "model")
    if architecture == "bart":
        with pytest.raises(CheckpointError, match=r"openvino can't run .*; use another model\.precision"):
            Scorer(sections(folder, sample))
        return
    table = pa.table({"text": TEXTS})
    found = np.array(Scorer(sections(folder, sample))(table).column("scores").to_pylist())
    exact = np.array([answer.scores for answer in tiny.oracle(folder, TEXTS, 64)])
    # Random weights give these tiny models answers that change much with little; 0 would mean no int8 at all.
    assert 0 < np.abs(found - exact).mean() < 0.1
    weights = {path.stat().st_size for path in (tmp_path / "cache").rglob("model.bin")}
    assert len(weights) == 2, "one model in float32, to check the conversion by, and one in int8"


@pytest.mark.slow
@pytest.mark.openvino
def test_a_row_in_int8_is_the_same_beside_others(checkpoint: Path, sample: Path) -> None:
    scorer = Scorer(sections(checkpoint, sample))
    together = scorer(pa.table({"text": TEXTS})).column("logits").to_pylist()
    alone = [scorer(pa.table({"text": [text]})).column("logits")[0].as_py() for text in TEXTS]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


def test_the_texts_that_int8_is_calibrated_on_decide_it_and_nothing_else_of_their_file(
    sample: Path, tmp_path: Path
) -> None:
    same = tmp_path / "the same.csv"
    same.write_text("text,id\n" + "".join(f'"{text.replace(chr(34), chr(34) * 2)}",1\n' for text in TEXTS))
    other = write_parquet(tmp_path / "other.parquet", {"text": TEXTS[:-1]})
    found = [calibration_texts(parse_settings(sections(tmp_path, path))) for path in (sample, same, other)]
    assert found == [tuple(TEXTS), tuple(TEXTS), tuple(TEXTS[:-1])]


def test_a_processor_without_instructions_for_int8_is_refused(
    checkpoint: Path, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(INT8, "absent")
    settings = parse_settings(sections(checkpoint, sample))
    with pytest.raises(
        SettingsError, match=r"model\.precision: int8 .* \(VNNI\).*: bfloat16 or float32|OpenVINO is not"
    ):
        inspect_checkpoint(settings)
    monkeypatch.setenv(INT8, "presnt")
    with pytest.raises(SettingsError, match=r"NIGHTSCORE_INT8='presnt'.*did you mean 'present'\?"):
        inspect_checkpoint(settings)


@pytest.mark.parametrize(
    ("instructions", "has"), [("avx2", False), ("avx512f", False), ("avx512_vnni", True), ("avx_vnni", True)]
)
def test_instructions_for_int8_are_found_by_their_names(
    instructions: str, has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(INT8)
    monkeypatch.setattr(availability, "processor", lambda: Processor("", frozenset({"sse2", instructions})))
    assert availability.computes("int8") is has


def test_the_processor_is_named_where_linux_runs() -> None:
    described = Path("/proc/cpuinfo")
    if described.is_file():
        assert all(name in described.read_text() for name in processor().instructions)


@pytest.mark.openvino
def test_int8_without_the_package_that_makes_it_is_refused(
    checkpoint: Path, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "nncf" else found(name))
    with pytest.raises(SettingsError, match=r"int8 needs the package nncf; pip install 'nightscore\[int8\]'"):
        inspect_checkpoint(parse_settings(sections(checkpoint, sample)))


def test_int8_on_a_gpu_is_refused(checkpoint: Path, sample: Path) -> None:
    settings = parse_settings(sections(checkpoint, sample))
    with pytest.raises(SettingsError, match=r"int8 is computed on CPUs only: set tuning\.gpus_per_model_actor: 0"):
        check_device(settings, "cuda")


@pytest.mark.openvino
def test_int8_of_code_that_comes_with_a_checkpoint_must_be_asked_for(
    checkpoint: Path, sample: Path, tmp_path: Path
) -> None:
    bad = poisoned.build(checkpoint, tmp_path / "poisoned", tmp_path / "flag")
    with pytest.raises(CheckpointError, match=r"it has code of its own.*set model\.engine: openvino"):
        inspect_checkpoint(parse_settings(sections(bad, sample, allow_remote_code=True)))


def test_texts_to_calibrate_on_that_are_too_few_or_missing_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    few = write_parquet(tmp_path / "few.parquet", {"text": ["one", " ", None]})
    for path, told in ((few, r"has 1 texts that are not blank; 8 are needed"), (tmp_path / "no", r"no such file")):
        with pytest.raises(InputError, match=rf"^model\.calibration: .*{told}"):
            inspect_checkpoint(parse_settings(sections(checkpoint, path)))
    other = write_parquet(tmp_path / "other.parquet", {"txt": TEXTS})
    with pytest.raises(InputError, match=r"^model\.calibration: .* has no column 'text'"):
        inspect_checkpoint(parse_settings(sections(checkpoint, other)))
