"""The papers say what is true: the README's examples run, and what the papers name exists."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from pipeline_lib import errors
from pipeline_lib.settings.model_set import ModelSetSettings, NamedModelSettings
from pipeline_lib.settings.sections.model import ModelSettings
from pipeline_lib.settings.settings import Settings
from tests.conftest import ROOT, read_output
from tests.helpers.papers import examples, section

README = ROOT / "README.md"
SETTINGS = ROOT / "configs" / "README.md"
ARCHITECTURE = ROOT / "pipeline_lib" / "README.md"
PAPERS = [
    README,
    SETTINGS,
    ARCHITECTURE,
    ROOT / "configs" / "schedules" / "README.md",
    ROOT / "jobs" / "bench" / "README.md",
    ROOT / ".github" / "CONTRIBUTING.md",
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A clean clone, and an environment with an empty home in which the clone is installed."""
    home = tmp_path_factory.mktemp("newcomer")
    clone, site = home / "nightscore", home / "site"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(clone)], check=True)
    (clone / ".venv").symlink_to(sys.prefix)
    (home / "home").mkdir()
    path = os.pathsep.join([str(site / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    return clone, {**os.environ, "HOME": str(home / "home"), "PATH": path, "PYTHONPATH": str(site)}


def answer(code: str, installed: tuple[Path, dict[str, str]], exit_code: int = 0, program: str = "sh") -> str:
    """Run an example in the clone, and return all that it prints."""
    clone, environment = installed
    command = [program, "-e", "-c", code] if program == "sh" else [program, "-c", code]
    result = subprocess.run(
        command, cwd=clone, env=environment, capture_output=True, text=True, timeout=250, check=False
    )
    assert result.returncode == exit_code, (code, result.stdout + result.stderr)
    return result.stdout + result.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_examples_of_the_readme_run_one_after_the_other_in_an_empty_home(
    installed: tuple[Path, dict[str, str]],
) -> None:
    clone, _ = installed
    (_, csv, _), _ = saved = [
        example for example in examples("Score your own file") if example[0] in {"csv", "yaml"}
    ]
    for _, content, name in saved:
        (clone / name).write_text(content, encoding="utf-8")

    (commands,) = [code for language, code, _ in examples("Score your own file") if language == "sh"]
    said = answer(commands, installed)
    assert "input    1 shard, 4 rows, 1 slice" in said
    assert "PUBLISHED in=4 scored=3 rejected=1 (25.000%)" in said
    assert "VERIFIED in=4 scored=3 rejected=1 files=2" in said

    looked, scored = (code for title in ("Look at", "In Python") for _, code, _ in examples(title))
    shown = answer(looked, installed, program="python")
    assert "The café was lovely" in shown
    assert "ragged" in shown
    shown = answer(scored, installed, program="python")
    assert "POSITIVE" in shown
    assert "null_text" in shown

    # The same file as Excel saves it gives the same rows.
    (clone / "excel.csv").write_text(csv, encoding="cp1252")
    answer(
        "nightscore run tickets.yaml --local --set input.path=excel.csv --set input.csv.encoding=cp1252 "
        "--set output.path=out/excel",
        installed,
    )
    assert read_output(clone / "out" / "excel").equals(read_output(clone / "out" / "tickets"))

    ((_, changes, _),) = examples("Change model")
    refused = answer(changes.replace("--replace ", "").splitlines()[0], installed, exit_code=2)
    assert "model.precision was 'float32', is now 'bfloat16'" in refused
    assert answer(changes, installed).count("PUBLISHED in=4 scored=3") == 2


@pytest.mark.slow
def test_the_script_to_start_from_runs(installed: tuple[Path, dict[str, str]]) -> None:
    shown = answer("python configs/sample/explore.py", installed)
    assert re.search(r"Label and stars agree in [67]\d% of 172 reviews\.", shown)
    assert "PUBLISHED in=2,000 scored=1,967 rejected=33" in shown
    assert "the text is null" in shown


@pytest.mark.parametrize("name", ["nightscore", "python -m jobs.score"])
def test_the_usage_names_the_program_as_it_was_called(name: str, installed: tuple[Path, dict[str, str]]) -> None:
    assert f"Usage: {name} [OPTIONS] COMMAND" in answer(f"{name} --help", installed)
    assert f"Usage: {name} run [OPTIONS]" in answer(f"{name} run --help", installed)


def settings_table() -> str:
    """Return the table of all settings, as the paper must show it."""
    lines = ["| setting | default | what it does |", "| --- | --- | --- |"]
    of_one = _rows(Settings, "")
    models, fields = ModelSetSettings.model_fields["models"], NamedModelSettings.model_fields
    own = [name for name in fields if name not in ModelSettings.model_fields]
    of_several = [f"| `models` | none | {models.description} |", *_rows(NamedModelSettings, "models.", own)]
    at = next(at for at, row in enumerate(of_one) if row.startswith("| `input."))
    return "\n".join([*lines, *of_one[:at], *of_several, *of_one[at:]])


def _rows(section: type[BaseModel], prefix: str, names: Collection[str] | None = None) -> list[str]:
    rows: list[str] = []
    for name, field in section.model_fields.items():
        if names is not None and name not in names:
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            rows += _rows(field.annotation, f"{prefix}{name}.")
        else:
            default: Any = field.get_default(call_default_factory=True)
            shown = "required" if default is PydanticUndefined else f"`{json.dumps(default)}`"
            rows.append(f"| `{prefix}{field.alias or name}` | {shown} | {field.description} |")
    return rows


def test_the_table_of_settings_is_that_of_the_program() -> None:
    table = re.search(
        r"<!-- settings -->\n(.*)\n<!-- /settings -->", SETTINGS.read_text(encoding="utf-8"), re.DOTALL
    )
    assert table
    assert table[1].strip() == settings_table()


def test_every_make_target_that_is_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {
        name
        for paper in PAPERS
        for name in re.findall(r"(?:`|^)make ([a-z0-9-]+)", paper.read_text(), re.MULTILINE)
    }
    assert {"run", "test", "help", "setup"} <= shown
    assert shown - targets == set()


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: str(paper.relative_to(ROOT)))
def test_every_link_of_a_paper_leads_to_a_file(paper: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", paper.read_text(encoding="utf-8"))
    assert [link for link in links if not (paper.parent / link).exists()] == []


def test_every_room_of_the_library_and_every_folder_is_explained() -> None:
    rooms = {f"`{path.parent.name}/`" for path in (ROOT / "pipeline_lib").glob("*/__init__.py")}
    architecture = ARCHITECTURE.read_text(encoding="utf-8")
    assert {room for room in rooms if f"| {room} |" not in architecture} == set()
    tree = section("What is where")
    folders = {f"{path.parent.relative_to(ROOT)}/" for path in ROOT.glob("*/*/__init__.py")}
    shown = {name for name in folders if not name.startswith(("pipeline_lib", "tests"))}
    assert {name for name in shown if name not in tree} == set()


def test_every_promise_names_tests_that_exist() -> None:
    table = ARCHITECTURE.read_text(encoding="utf-8").partition("| promise |")[2].partition("\n\n")[0]
    promises = [line.split("|") for line in table.splitlines()[2:]]
    assert len(promises) == 17
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    for _, promise, _, tests, _ in promises:
        names = re.findall(r"`([^`]+)`", tests)
        assert names, promise
        for name in names:
            assert (ROOT / name).is_file() if "/" in name else f"def {name}(" in source, (promise, name)


def test_every_exit_code_is_explained() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, errors.NightscoreError)}
    for paper in (README, SETTINGS):
        assert {code for code in {0, *codes} if f"| {code} | " not in paper.read_text(encoding="utf-8")} == set()


def test_the_top_level_holds_what_was_agreed_and_nothing_else() -> None:
    agreed = {"jobs", "configs", "pipeline_lib", "tests", "pyproject.toml", "Makefile", "README.md"}
    agreed |= {"LICENSE", "CHANGELOG.md", "constraints.txt"}
    made = {"out", "build"}
    here = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert {name for name in here - made if not name.endswith(".egg-info")} == agreed
