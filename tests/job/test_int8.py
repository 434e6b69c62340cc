"""A job in int8: published only within limits on its drift from float32, and as exactly once as any other."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline_lib.engines.openvino.availability import INT8
from pipeline_lib.errors import GateError, SettingsError
from pipeline_lib.publishing.verifier import verify
from tests.conftest import Runner, SettingsMaker, write_parquet

LIMITS = {"max_precision_drift": 0.5, "max_precision_flips": 0.5}


@pytest.fixture
def int8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The section `model` of a job in int8, as on a processor with instructions for it."""
    monkeypatch.setenv(INT8, "present")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    texts = {"text": [f"text {row} {'good ' * (row % 7)}" for row in range(60)]}
    write_parquet(tmp_path / "in" / "a.parquet", texts)
    return {"precision": "int8", "calibration": str(write_parquet(tmp_path / "sample.parquet", texts))}


@pytest.mark.openvino
def test_int8_is_published_only_within_its_limits(
    int8: dict[str, Any], tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    def settings(**limits: float) -> Any:
        return settings_for(model=int8, tuning={"rows_per_slice": 20}, limits={**LIMITS, **limits})

    with pytest.raises(
        GateError, match=r"scores in int8 are up to 0\.\d+ from float32.*max_precision_drift is 0\b"
    ):
        run_here(settings(max_precision_drift=0.0))
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    assert run_here(settings()).rows_this_run == 0, "what was scored is published, and nothing is scored again"
    manifest, problems = verify(str(tmp_path / "out"))
    assert problems == []
    assert manifest.drift
    assert 0 < manifest.drift.largest < 0.5
    assert "calibration" in manifest.fingerprint


@pytest.mark.slow
@pytest.mark.openvino
def test_another_sample_to_calibrate_on_is_another_version(
    int8: dict[str, Any], tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    first = run_here(settings_for(model=int8, limits=LIMITS))
    before = pq.read_table(tmp_path / "out")
    write_parquet(tmp_path / "sample.parquet", {"text": [f"another text {row}" for row in range(20)]})
    with pytest.raises(Exception, match=r"the texts of model\.calibration"):
        run_here(settings_for(model=int8, limits=LIMITS))
    assert pq.read_table(tmp_path / "out").equals(before)
    assert first.status == "PUBLISHED"


def test_int8_without_limits_is_refused(
    int8: dict[str, Any], settings_for: SettingsMaker, run_here: Runner
) -> None:
    for missing in LIMITS:
        limits = {name: value for name, value in LIMITS.items() if name != missing}
        with pytest.raises(
            SettingsError, match=rf"int8 is published only within limits\.{missing}, which is not set"
        ):
            run_here(settings_for(model=int8, limits=limits))
