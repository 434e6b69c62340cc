"""The program's dependencies are what it imports: nothing more to install, and nothing that is missing."""

import ast
import re
import sys
import tomllib

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# A distribution by the name that it is imported by, where these differ.
IMPORTED_AS = {"pyyaml": "yaml", "backports.zstd": "backports"}
# What is needed and never imported by name: s3fs by fsspec, botocore by s3fs, tokenizers by transformers.
UNNAMED = {"s3fs", "botocore", "tokenizers", "safetensors", "sentencepiece", "protobuf", "tiktoken"}


def declared(requirements: list[str]) -> set[str]:
    names = {re.split(r"[\[<>=!~ ]", text)[0].replace("-", "_").lower() for text in requirements}
    return {IMPORTED_AS.get(name, name) for name in names}


def imported(folder: str, pattern: str = "**/*.py") -> set[str]:
    found = set()
    for path in (ROOT / folder).glob(pattern):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    known = {"jobs", "pipeline_lib", "compression"}  # the last is of Python itself from 3.14 on
    return found - set(sys.stdlib_module_names) - known


def test_every_machine_gets_the_engine_that_auto_may_take_and_a_pytorch_that_packs() -> None:
    assert any(text.startswith("openvino") for text in PROJECT["dependencies"])
    (torch,) = [text for text in PROJECT["dependencies"] if text.startswith("torch")]
    lowest = [int(number) for number in re.findall(r"\d+", torch)]
    assert lowest >= [2, 12], torch  # the first with the attention kernel for packed rows


def test_every_dependency_is_imported_by_the_program_and_every_import_is_a_dependency() -> None:
    needed = imported("pipeline_lib") | imported("jobs", "score.py")
    extras = {name for extra in PROJECT["optional-dependencies"].values() for name in declared(extra)}
    runtime = declared(PROJECT["dependencies"])
    assert runtime - needed - UNNAMED == set()
    assert needed - runtime - extras == set()


def test_what_the_benchmarks_import_comes_with_their_extra() -> None:
    runtime = declared(PROJECT["dependencies"])
    bench = declared(PROJECT["optional-dependencies"]["bench"])
    optional = {"pyspark"}  # compared with where it is installed
    assert imported("jobs/bench") - runtime - bench - optional == set()
