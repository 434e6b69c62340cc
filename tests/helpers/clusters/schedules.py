"""What reads schedules: the real schedulers' own checks, and the ways in which they take a text apart."""

import copy
import functools
import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from pipeline_lib.settings.settings_file import parse_settings

ROOT = Path(__file__).parents[3]
READY_MADE = ROOT / "configs" / "schedules"
NIGHTLY = ROOT / "configs" / "reviews_nightly.yaml"
DATED = parse_settings({"model": {"name": "m"}, "input": {"path": "in"}, "output": {"path": "out/{date}"}})

_SCHEMAS = Path(__file__).with_name("kuberay")

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (Debian's package systemd)"
)


def documents(text: str) -> dict[str, dict[str, Any]]:
    """Return the documents of a stream of YAML by their kinds; each kind must be there once."""
    every = list(yaml.safe_load_all(text))
    by_kind = {document["kind"]: document for document in every}
    assert len(by_kind) == len(every)
    return by_kind


def check_manifest(document: Mapping[str, Any]) -> None:
    """Check a manifest against Kubernetes' or KubeRay's schema, and refuse unknown fields.

    Raises:
        jsonschema.ValidationError: the API server would refuse the manifest, or drop a part of it.
    """
    if document["apiVersion"].startswith("ray.io/"):
        _ray_schema(document["kind"]).validate(document)
    else:
        kubernetes_validate.validate(dict(document), kubernetes_validate.latest_version(), strict=True)


@functools.cache
def _ray_schema(kind: str) -> jsonschema.Draft202012Validator:
    file = _SCHEMAS / f"{kind.lower()}s.v1.json.gz"
    schema = json.loads(gzip.decompress(file.read_bytes()))
    # Of a resource's own fields the schema names spec and status; Kubernetes has the others.
    schema["properties"]["metadata"] = {"type": "object"}
    return jsonschema.Draft202012Validator(_strict(schema))


def _strict(schema: Any) -> Any:
    """Return a schema of OpenAPI as one of JSON Schema that takes no fields but those it names."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    fields = isinstance(schema.get("properties"), dict) and "type" in schema
    if fields and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        strict.pop("type", None)
    return strict


def without(document: Mapping[str, Any], *path: str | int) -> dict[str, Any]:
    """Return a copy of a manifest without the field at this path."""
    return _changed(document, path, remove=True)


def replaced(document: Mapping[str, Any], *path: str | int, value: Any) -> dict[str, Any]:
    """Return a copy of a manifest with another value at this path."""
    return _changed(document, path, value)


def _changed(
    document: Mapping[str, Any], path: tuple[str | int, ...], value: Any = None, *, remove: bool = False
) -> dict[str, Any]:
    changed = copy.deepcopy(dict(document))
    inner: Any = changed
    for key in path[:-1]:
        inner = inner[key]
    if remove:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return changed


def cron_words(crontab: str) -> list[str]:
    """Return the words that the shell makes of a crontab's last line, after cron took it (crontab(5))."""
    command = crontab.splitlines()[-1].split(" ", 5)[5]
    assert not re.search(r"(?<!\\)%", command)
    lexer = shlex.shlex(command.replace("\\%", "%"), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    return list(lexer)


def systemd_complaints(folder: Path, unit: str) -> list[str]:
    """Return what `systemd-analyze verify` says about a unit in a folder; nothing if it has no objection."""
    return [line for line in _verified(folder, unit).splitlines() if unit in line or line.startswith("/")]


def systemd_reads(folder: Path, unit: str) -> list[tuple[str, str]]:
    """Return names and values that systemd has read from a unit, in the words of its dump."""
    dump = _verified(folder, unit, SYSTEMD_LOG_LEVEL="debug")
    _, _, ours = dump.partition(f"-> Unit {unit}:")
    ours = ours.partition("-> Unit ")[0]
    return [(name, value) for name, value in re.findall(r"^\t+([\w ]+): (.*)$", ours, re.MULTILINE)]


def systemd_arguments(command_line: str) -> list[str]:
    """Return the words of a command line that systemd printed, as it hands them to the program."""
    quoted = re.findall(r'"((?:[^"\\]|\\.)*)"|([^ "]+)', command_line)
    program, *arguments = [re.sub(r"\\(.)", r"\1", inner) or bare for inner, bare in quoted]
    return [program, *(argument.replace("$$", "$") for argument in arguments)]


def _verified(folder: Path, unit: str, **environment: str) -> str:
    command = ["systemd-analyze", "verify", "--man=no", str(folder / unit)]
    result = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, timeout=60, check=False
    )
    return (result.stderr + result.stdout).decode("utf-8", "replace")


def hadolint(dockerfile: Path) -> str:
    """Return what hadolint finds in a Dockerfile; nothing if it has no objection."""
    program = Path(sys.executable).with_name("hadolint")
    result = subprocess.run(
        [str(program), "--no-color", str(dockerfile)], capture_output=True, text=True, timeout=60, check=False
    )
    assert bool(result.stdout) == bool(result.returncode), result.stderr
    return result.stdout
