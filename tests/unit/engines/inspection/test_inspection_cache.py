"""The result of an inspection is used again, but only for the same files and settings."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline_lib.engines.inspection.inspector import inspect_checkpoint
from pipeline_lib.errors import CheckpointError
from pipeline_lib.settings.settings import Settings
from tests.helpers.checkpoints import tiny_checkpoints
from tests.helpers.checkpoints.tiny_checkpoints import Recipe

_LOADED = """
import sys
from pipeline_lib.engines.inspection.inspector import inspect_checkpoint
from pipeline_lib.settings.settings_file import parse_settings
sections = {"model": {"name": sys.argv[1]}, "input": {"path": "-"}, "output": {"path": "-"}}
found = inspect_checkpoint(parse_settings(sections))
print(found.fingerprint, "torch" in sys.modules)
"""


def _inspected(model: Path, home: Path) -> list[str]:
    command = [sys.executable, "-c", _LOADED, str(model)]
    environment = {**os.environ, "XDG_CACHE_HOME": str(home)}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return said.stdout.split()


def _kept(home: Path) -> list[Path]:
    return sorted((home / "nightscore" / "inspections").iterdir())


def test_a_second_inspection_loads_nothing(tmp_path: Path) -> None:
    model = tiny_checkpoints.build(Recipe("bert"), tmp_path / "model")
    first, second = _inspected(model, tmp_path / "home"), _inspected(model, tmp_path / "home")
    assert first == [second[0], "True"]
    assert second[1] == "False"


@pytest.mark.slow
def test_a_damaged_result_is_made_again(tmp_path: Path) -> None:
    model, home = tiny_checkpoints.build(Recipe("bert"), tmp_path / "model"), tmp_path / "home"
    first = _inspected(model, home)
    (kept,) = _kept(home)
    content = kept.read_bytes()
    kept.write_bytes(content[:-9])
    assert _inspected(model, home) == first
    assert kept.read_bytes() == content


@pytest.mark.slow
def test_a_result_of_another_format_is_made_again(tmp_path: Path) -> None:
    model, home = tiny_checkpoints.build(Recipe("bert"), tmp_path / "model"), tmp_path / "home"
    first = _inspected(model, home)
    (kept,) = _kept(home)
    content = json.loads(kept.read_text())
    kept.write_text(json.dumps({**content, "format": content["format"] - 1}))
    assert _inspected(model, home) == first
    assert json.loads(kept.read_text()) == content


@pytest.mark.slow
def test_without_a_usable_home_folder_each_run_inspects_anew(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("in the way")
    model = tiny_checkpoints.build(Recipe("bert"), tmp_path / "model")
    assert _inspected(model, tmp_path / "home")[1] == "True"


@pytest.mark.parametrize("change", ["model", "settings"])
def test_another_checkpoint_or_setting_is_inspected_anew(
    change: str, tmp_path: Path, settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    model = tiny_checkpoints.build(Recipe("bert"), tmp_path / "model")
    first = inspect_checkpoint(settings_for(model={"name": str(model)}))
    if change == "model":
        (model / "tokenizer_config.json").write_text('{"model_max_length": 9}')
        second = inspect_checkpoint(settings_for(model={"name": str(model)}))
    else:
        second = inspect_checkpoint(settings_for(model={"name": str(model), "max_tokens": 9}))
    assert first.max_tokens != second.max_tokens == 9
    assert len(_kept(tmp_path / "home")) == 2


def test_the_same_files_elsewhere_keep_their_own_name(
    tmp_path: Path, settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    models = [tiny_checkpoints.build(Recipe("bert"), tmp_path / "one"), tmp_path / "two"]
    shutil.copytree(models[0], models[1])
    found = [inspect_checkpoint(settings_for(model={"name": str(model)})) for model in models]
    assert [checkpoint.name for checkpoint in found] == list(map(str, models))
    assert found[0].fingerprint == found[1].fingerprint
    assert len(_kept(tmp_path / "home")) == 1


def test_labels_are_read_from_the_configuration_whatever_was_kept(
    tmp_path: Path, settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    recipe = Recipe("bert", num_labels=3, labels=("good", "bad", "neither"))
    settings = settings_for(model={"name": str(tiny_checkpoints.build(recipe, tmp_path / "model"))})
    first = inspect_checkpoint(settings)
    (kept,) = _kept(tmp_path / "home")
    content = kept.read_bytes()
    for forged in (
        content.replace(b'"good","bad"', b'"bad","good"'),
        content.replace(b'"softmax"', b'"none"'),
        content.replace(first.fingerprint.encode(), b"0" * 64),
    ):
        assert forged != content
        kept.write_bytes(forged)
        assert inspect_checkpoint(settings) == first
        assert kept.read_bytes() == content


def test_a_kept_result_that_is_a_link_is_not_followed(
    tmp_path: Path, settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    settings = settings_for()
    first = inspect_checkpoint(settings)
    (kept,) = _kept(tmp_path / "home")
    planted = tmp_path / "planted.json"
    planted.write_bytes(kept.read_bytes().replace(b'"pads_safely":true', b'"pads_safely":false'))
    kept.unlink()
    kept.symlink_to(planted)
    assert inspect_checkpoint(settings) == first
    assert not kept.is_symlink()


def test_a_failed_inspection_is_not_kept(
    tmp_path: Path, settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    model = tiny_checkpoints.build(Recipe("bert"), tmp_path / "model")
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(weights[:99])
    with pytest.raises(CheckpointError):
        inspect_checkpoint(settings_for(model={"name": str(model)}))
    assert _kept(tmp_path / "home") == []
