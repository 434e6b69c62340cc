"""What the tests share: one Ray, small checkpoints and small inputs, all real."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from pipeline_lib import pipeline
from pipeline_lib.engines.openvino.availability import AUTO_ENGINE
from pipeline_lib.execution.local_executor import LocalExecutor
from pipeline_lib.execution.ray_executor import RayExecutor
from pipeline_lib.machine import failpoints
from pipeline_lib.reporting.outcome import Outcome
from pipeline_lib.reporting.terminal.progress import Progress
from pipeline_lib.settings.settings import Settings
from pipeline_lib.settings.settings_file import parse_settings
from tests.helpers.checkpoints import tiny_checkpoints
from tests.helpers.distribution import OneRayScheduling, needs_ray
from tests.helpers.stores.servers import access_to, moto_server

# A busy machine is no failure.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")

ROOT = Path(__file__).parent.parent
QUICK_ARCHITECTURES = ("bert", "xlm-roberta", "gpt2")

_ENGINES = ("torch", "openvino", "absent")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engine",
        choices=_ENGINES,
        default=os.environ.get("NIGHTSCORE_TEST_ENGINE", "torch"),
        help="what model.engine: auto takes in all tests, whatever the processor: torch as on Intel's, openvino as "
        "on AMD's, absent as if OpenVINO were not installed",
    )


def pytest_configure(config: pytest.Config) -> None:
    # In the environment, so that Ray's workers and the programs that tests start do the same.
    os.environ[AUTO_ENGINE] = config.getoption("--engine")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Complete the tier of slow tests, and begin with what takes long, so that no process is idle in the end."""
    long_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(
        key=lambda item: (
            item.get_closest_marker("usual_ports") is None,
            not needs_ray(item.path),
            item.path not in long_files,
        )
    )
    quick = {(item.path, item.name.partition("[")[0]) for item in items if _architecture(item) in _quick(item)}
    for item in items:
        # What repeats for a further architecture what the quick tests do for a few.
        repeats = _architecture(item) not in (None, *_quick(item))
        if repeats and (item.path, item.name.partition("[")[0]) in quick:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneRayScheduling:
    config.option.loadscopereorder = False
    return OneRayScheduling(config, log)


def _quick(item: pytest.Item) -> tuple[str, ...]:
    """Return the architectures that the quick tests try: one where each takes a Ray job or a conversion."""
    costly = item.get_closest_marker("openvino") or needs_ray(item.path)
    return QUICK_ARCHITECTURES[:1] if costly else QUICK_ARCHITECTURES


def _architecture(item: pytest.Item) -> str | None:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("architecture") if callspec else None


def pytest_report_header(config: pytest.Config) -> str:
    return f"engine: {config.getoption('--engine')}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.config.getoption("--engine") == "absent" and item.get_closest_marker("openvino"):
        pytest.skip("as if OpenVINO were not installed")


@pytest.fixture(scope="session", autouse=True)
def _a_home_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep caches and credentials of whoever runs the tests out of them."""
    os.environ["HOME"] = str(tmp_path_factory.mktemp("home"))
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.pop("RAY_ADDRESS", None)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """A real S3 server on loopback; libraries find it by the usual environment variables."""
    with moto_server() as endpoint:
        os.environ |= access_to(endpoint)
        yield endpoint


@pytest.fixture(scope="session")
def one_ray(s3_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray for all tests, with more logical CPUs than cores so that several actors fit.

    It starts after the S3 server, so that its workers know where that is.
    """
    import ray

    from pipeline_lib.execution.cluster.connection import messages_silenced

    del s3_server
    # Where tests arm crash points; workers must know the folder from their start.
    os.environ[failpoints.FOLDER] = str(tmp_path_factory.mktemp("crash_points"))

    with messages_silenced():  # as the program does for a Ray of its own
        ray.init("local", num_cpus=6, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield
        ray.shutdown()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with two labels and 64 positions."""
    folder = tmp_path_factory.mktemp("checkpoint") / "bert"
    return tiny_checkpoints.build(tiny_checkpoints.Recipe("bert"), folder)


SettingsMaker = Callable[..., Settings]


@pytest.fixture
def settings_for(checkpoint: Path, tmp_path: Path) -> SettingsMaker:
    """Make settings for the tiny checkpoint, `tmp_path/in` and `tmp_path/out`; sections may be given."""

    def make(**sections: Mapping[str, Any]) -> Settings:
        base: dict[str, dict[str, Any]] = {
            "model": {"name": str(checkpoint)},
            "input": {"path": str(tmp_path / "in")},
            "output": {"path": str(tmp_path / "out")},
            "tuning": {"model_actors": 1},
        }
        for name, section in sections.items():
            base[name] = {**base.get(name, {}), **section}
        return parse_settings(base)

    return make


Runner = Callable[..., Outcome]


@pytest.fixture
def run_job(one_ray: None) -> Runner:
    """Run the whole job in this process, on the shared Ray."""
    del one_ray
    return run_quietly


def run_quietly(settings: Settings, *, replace: bool = False) -> Outcome:
    """Run the whole job in this process; with the `one_ray` fixture, on that."""
    return pipeline.run(settings, None, Progress(Console(quiet=True)), RayExecutor(), replace=replace)


def run_without_ray(settings: Settings, *, replace: bool = False) -> Outcome:
    """Plan, score and publish in this process alone; much quicker, where Ray is not what is tested."""
    return pipeline.run(settings, None, Progress(Console(quiet=True)), LocalExecutor(), replace=replace)


@pytest.fixture
def run_here() -> Runner:
    """Run all steps in this process, without Ray."""
    return run_without_ray


def write_parquet(path: Path, columns: Mapping[str, Any] | pa.Table, **options: Any) -> Path:
    """Write a Parquet file, its folder too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = columns if isinstance(columns, pa.Table) else pa.table(dict(columns))
    pq.write_table(table, path, **options)
    return path


def read_output(folder: Path | str) -> pa.Table:
    """Return the published rows."""
    return pq.read_table(folder)
