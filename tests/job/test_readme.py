"""The README says what is true: every setting with its default, every make target, every file, every exit code."""

import json
import re
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from pipeline_lib import errors
from pipeline_lib.settings.settings import Settings
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def settings_table() -> str:
    """Return the table of all settings, as the README must show it."""
    lines = ["| setting | default | what it does |", "| --- | --- | --- |"]
    return "\n".join([*lines, *_rows(Settings, "")])


def _rows(section: type[BaseModel], prefix: str) -> list[str]:
    rows: list[str] = []
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            rows += _rows(field.annotation, f"{prefix}{name}.")
        else:
            default: Any = field.get_default(call_default_factory=True)
            shown = "required" if default is PydanticUndefined else f"`{json.dumps(default)}`"
            rows.append(f"| `{prefix}{name}` | {shown} | {field.description} |")
    return rows


def between(marker: str) -> str:
    match = re.search(rf"<!-- {marker} -->\n(.*)\n<!-- /{marker} -->", README, re.DOTALL)
    assert match, marker
    return match.group(1).strip()


def test_the_table_of_settings_is_that_of_the_program() -> None:
    assert between("settings") == settings_table()


def test_every_make_target_that_is_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = set(re.findall(r"`?make ([a-z-]+)", README)) - {"nothing"}
    assert {"run", "test", "check", "help"} <= shown
    assert shown <= targets


@pytest.mark.parametrize("folder", ["jobs", "pipeline_lib"])
def test_every_file_of_the_program_is_in_the_tree(folder: str) -> None:
    files = {path.name for path in (ROOT / folder).glob("*.py")} - {"__init__.py"}
    assert {name for name in files if name not in README} == set()


def test_every_exit_code_is_explained() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, errors.NightscoreError)}
    assert {code for code in codes if f"| {code} | " not in README} == set()


def test_the_top_level_holds_what_was_agreed_and_nothing_else() -> None:
    agreed = {"jobs", "configs", "pipeline_lib", "tests", "pyproject.toml", "Makefile", "README.md"}
    agreed |= {"LICENSE", "CHANGELOG.md", "constraints.txt"}
    made = {"out", "build"}
    here = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert {name for name in here - made if not name.endswith(".egg-info")} == agreed
