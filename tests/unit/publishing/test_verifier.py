"""Verification finds each kind of damage and names the file."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline_lib.errors import OutputError
from pipeline_lib.publishing.verifier import verify
from tests.conftest import SettingsMaker, run_without_ray, write_parquet
from tests.helpers.changed_manifests import change_manifest

PART = "part-00000-000000003.parquet"


@pytest.fixture
def out(tmp_path: Path, settings_for: SettingsMaker) -> Path:
    """Two published shards of two slices each, with rejects, in a file for each slice."""
    for name in "ab":
        write_parquet(
            tmp_path / "in" / f"{name}.parquet", {"id": range(6), "text": ["x", None, "y", "z", None, "w"]}
        )
    run_without_ray(
        settings_for(limits={"max_reject_rate": 1.0}, tuning={"rows_per_slice": 3}, output={"rows_per_file": 3})
    )
    assert verify(str(tmp_path / "out"))[1] == []
    return tmp_path / "out"


def problems(out: Path) -> str:
    """Return what verification finds."""
    return "\n".join(verify(str(out))[1])


def test_any_single_changed_byte_of_a_part_is_found(out: Path) -> None:
    path = out / PART
    content = path.read_bytes()
    for at in range(0, len(content), max(len(content) // 60, 1)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert problems(out) == f"{PART}: has other content than was written", at


@pytest.mark.parametrize("name", [PART, f"_rejects/{PART}"])
def test_a_missing_a_shorter_and_an_added_file_are_found(name: str, out: Path) -> None:
    path = out / name
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert problems(out) == f"{name}: has {len(content) - 1:,} bytes, expected {len(content):,}"
    path.unlink()
    assert problems(out) == f"{name}: is missing"
    path.write_bytes(content)
    added = path.with_name("part-00009-000000000.parquet")
    shutil.copy(path, added)
    assert problems(out) == f"{added.relative_to(out)}: is not in _manifest.json"


def test_two_parts_that_were_swapped_are_found(out: Path) -> None:
    first, second = sorted(out.glob("part-00000-*.parquet"))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    assert first.name in problems(out)
    assert second.name in problems(out)


def problems_after(out: Path, change: Callable[[dict[str, Any]], None]) -> str:
    """Change the manifest, and _SUCCESS to fit it; return what verification finds."""
    change_manifest(out, change)
    return problems(out)


def test_a_part_of_another_version_is_found_even_if_the_manifest_names_it(out: Path) -> None:
    path = out / PART
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"nightscore.version": "f" * 16}), path)

    def adopt(manifest: dict[str, Any]) -> None:
        for receipt in manifest["slices"]:
            if receipt["part"]["file"] == PART:
                content = path.read_bytes()
                receipt["part"] |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    assert problems_after(out, adopt) == f"{PART}: is of version {'f' * 16}"


def test_a_manifest_that_is_not_the_one_published_is_found(out: Path) -> None:
    manifest = (out / "_manifest.json").read_text()
    (out / "_manifest.json").write_text(manifest.replace('"rows": 12', '"rows": 13'))
    assert "_manifest.json: is not the manifest that _SUCCESS was written for" in problems(out)
    (out / "_manifest.json").write_text(manifest[:-20])
    with pytest.raises(OutputError, match=r"no readable _manifest\.json"):
        verify(str(out))


FALSE_MANIFESTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "rows": (lambda m: m.update(rows=99), "says rows 99, its shards sum to 12"),
    "scored": (
        lambda m: m["shards"][0].update(scored=5, rejected=1),
        "has 6 rows, its parts 4 scored and 2 rejected",
    ),
    "slice twice": (lambda m: m["slices"].append(m["slices"][0]), "don't cover its 6 rows once"),
    "slice lost": (lambda m: m["slices"].pop(), "don't cover its 6 rows once"),
    "shard lost": (lambda m: m["shards"].pop(), "has parts of shard 1, which it does not list"),
    "shard swapped": (lambda m: m["shards"][0].update(content="sha256:0"), "were made of another file"),
    "fingerprint": (lambda m: m["fingerprint"].update(precision="bfloat16"), "is not that of its fingerprint"),
    "part of another version": (lambda m: m["slices"][0].update(version="0" * 16), "is of another version"),
}


@pytest.mark.parametrize("name", FALSE_MANIFESTS)
def test_a_manifest_that_contradicts_the_files_is_found(name: str, out: Path) -> None:
    change, problem = FALSE_MANIFESTS[name]
    assert problem in problems_after(out, change)
