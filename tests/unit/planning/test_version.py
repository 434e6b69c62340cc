"""The version follows all that decides a score, and nothing else."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline_lib.checkpoints.checkpoint import Checkpoint
from pipeline_lib.engines.computation import TOKENS_PER_BATCH, computation_of
from pipeline_lib.engines.inspection.inspector import inspect_checkpoint
from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.planner import make_plan
from pipeline_lib.planning.version import fingerprint_of, version_of
from pipeline_lib.settings.sections.tuning import Device
from pipeline_lib.settings.settings import Settings
from tests.conftest import SettingsMaker, write_parquet

DEVICES: tuple[Device, ...] = ("cpu", "cuda")


def test_the_version_follows_what_decides_a_score_and_nothing_else(
    tmp_path: Path, settings_for: SettingsMaker
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["x"]})

    def version(**sections: dict[str, object]) -> str:
        return make_plan(discover(settings_for(**sections))).version

    base = version()
    for same in (
        {"output": {"path": str(tmp_path / "elsewhere")}},
        {"output": {"rows_per_file": 1 << 20}},
        {"model": {"count_tokens": "exact"}},
        {"tuning": {"model_actors": 7}},
        {"limits": {"max_reject_rate": 0.5, "max_score_drift": 0.2, "max_label_drift": 0.05}},
        {"input": {"truth_column": "text", "truth_labels": {"x": None}}},
    ):
        assert version(**same) == base
    others = [
        version(**other)
        for other in (
            {"model": {"max_tokens": 10}},
            {"model": {"precision": "bfloat16"}},
            {"model": {"activation": "sigmoid"}},
            {"input": {"blank_texts": "reject"}},
            {"output": {"scores": "all"}},
            {"output": {"embedding": "first"}},
            {"output": {"embedding": "mean"}},
            {"model": {"count_tokens": "limit"}},
            {"model": {"long_texts": "windows"}},
            {"model": {"long_texts": "windows", "window_stride": 3}},
            {"output": {"rows_per_file": 10}},
            {"tuning": {"rows_per_slice": 10}},
            {"tuning": {"tokens_per_batch": 10}},
        )
    ]
    assert len({base, *others}) == len(others) + 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_version_follows_the_kind_of_device_and_not_the_engine_that_this_machine_would_use_on_its_cpus(
    tmp_path: Path, settings_for: SettingsMaker, precision: str
) -> None:
    """A run begun on CPUs and resumed on GPUs must not join; two drivers of one GPU cluster must agree."""
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["x"]})
    discovery = discover(settings_for(model={"precision": precision, "engine": "torch"}))
    on_cpu, on_gpu = make_plan(discovery, "cpu"), make_plan(discovery, "cuda")
    assert on_cpu.version != on_gpu.version
    checkpoint = on_gpu.checkpoint
    engines = [dataclasses.replace(checkpoint, cpu_engine=engine) for engine in ("torch", "openvino")]
    cpu, gpu = (
        {
            version_of(
                fingerprint_of(
                    discovery.settings,
                    each,
                    discovery.output_schema,
                    computation_of(discovery.settings, each, device),
                )
            )
            for each in engines
        }
        for device in DEVICES
    )
    assert (len(cpu), len(gpu)) == (2, 1)


def test_packed_rows_are_planned_where_the_gpus_get_them_right_and_what_was_begun_goes_on_as_it_was(
    tmp_path: Path, settings_for: SettingsMaker
) -> None:
    """Another layout moves scores in half precision: so it is in the version, and known before work starts."""
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["x"]})
    settings = settings_for(model={"precision": "bfloat16"})
    asked: list[str] = []

    def gpus_answer(right: bool) -> Callable[[Settings, Checkpoint], bool]:
        def answer(_: Settings, checkpoint: Checkpoint) -> bool:
            asked.append(checkpoint.architecture)
            return right

        return answer

    packed = make_plan(discover(settings), "cuda", gpus_answer(True))
    padded = make_plan(discover(settings), "cuda", gpus_answer(False))
    assert (packed.computation.layout, padded.computation.layout) == ("packed", "padded")
    assert packed.version != padded.version
    assert len(asked) == 2
    make_plan(discover(settings), "cpu", gpus_answer(True))
    make_plan(discover(settings_for(model={"precision": "float32"})), "cuda", gpus_answer(True))
    assert len(asked) == 2  # nothing to ask
    staged = tmp_path / "out" / "_staging" / padded.version
    staged.mkdir(parents=True)
    (staged / "_shards.json").write_text("{}")
    assert make_plan(discover(settings), "cuda", gpus_answer(True)).version == padded.version
    assert len(asked) == 2


def test_below_float32_the_version_follows_the_libraries_that_compute(settings_for: SettingsMaker) -> None:
    """Their kernels move scores in half precision by a thousandth; in float32 by the last digit."""
    settings = {name: settings_for(model={"precision": name}) for name in ("float32", "bfloat16", "auto")}
    checkpoint = inspect_checkpoint(settings["float32"])
    libraries = {name: computation_of(each, checkpoint, "cpu").libraries for name, each in settings.items()}
    assert libraries["float32"] == ()
    assert libraries["auto"] == libraries["bfloat16"]
    assert [words.split()[0] for words in libraries["bfloat16"]][:2] == ["torch", "transformers"]


def test_the_version_has_the_token_budget_that_was_resolved(settings_for: SettingsMaker) -> None:
    checkpoint = inspect_checkpoint(settings_for())
    stated = settings_for(tuning={"tokens_per_batch": TOKENS_PER_BATCH["cuda"]})
    assert computation_of(settings_for(), checkpoint, "cuda") == computation_of(stated, checkpoint, "cuda")
    assert computation_of(settings_for(), checkpoint, "cpu") != computation_of(stated, checkpoint, "cpu")
