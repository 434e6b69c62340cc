"""Planted records and links in an output: nothing outside of it is read or written, and no run waits for them."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline_lib.errors import GateError, NightscoreError, OutputError
from pipeline_lib.publishing.verifier import verify
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.lease import leased
from tests.conftest import Runner, SettingsMaker, run_without_ray, write_parquet

PART = "part-00000-000000000.parquet"


@pytest.fixture
def staged(tmp_path: Path, settings_for: SettingsMaker) -> Settings:
    """An output whose slices, one with rejects, are staged and kept from being published by a gate."""
    write_parquet(tmp_path / "in" / "a.parquet", {"id": range(6), "text": ["x", None, "y", "z", "v", "w"]})
    with pytest.raises(GateError):
        run_without_ray(settings_for(limits={"max_reject_rate": 0.0}, tuning={"rows_per_slice": 3}))
    return settings_for(limits={"max_reject_rate": 1.0}, tuning={"rows_per_slice": 3})


def staging(tmp_path: Path) -> Path:
    """Return the folder of staged files."""
    return next((tmp_path / "out" / "_staging").iterdir())


def outside(tmp_path: Path) -> dict[str, bytes]:
    """Return all that lies beside the output and is no input."""
    return {
        str(path.relative_to(tmp_path)): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file() and path.relative_to(tmp_path).parts[0] not in ("in", "out")
    }


@pytest.mark.parametrize(
    "name",
    [
        "../../../../victim.txt",
        "../victim.txt",
        "/victim.txt",
        "_rejects/../../victim.txt",
        "_SUCCESS",
        "_lease.json",
        "part-00000-000000000.parquet/../../victim.txt",
        "part-00000-000000000.parquet\n",
        "part-00007-000000000.parquet",
        "part-٠٠٠٠٠-000000000.parquet",
    ],
)
@pytest.mark.parametrize("which", ["part", "rejects"])
def test_a_staged_receipt_that_names_another_file_moves_and_overwrites_nothing(
    name: str, which: str, staged: Settings, tmp_path: Path
) -> None:
    receipt_path = staging(tmp_path) / PART.replace(".parquet", ".json")
    receipt = json.loads(receipt_path.read_text())
    victim = tmp_path / "victim.txt"
    shutil.copy(staging(tmp_path) / receipt[which]["file"], victim)
    receipt[which]["file"] = str(tmp_path / "victim.txt") if name == "/victim.txt" else name
    receipt_path.write_text(json.dumps(receipt))
    before = outside(tmp_path)
    run_without_ray(staged)
    assert outside(tmp_path) == before
    assert verify(str(tmp_path / "out"))[1] == []


PLANTED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a version that leads elsewhere": lambda r: r.update(version="../../../../../../etc"),
    "a shard of no number": lambda r: r.update(shard=-1),
    "a huge shard": lambda r: r.update(shard=10**40),
    "rows below none": lambda r: r.update(rows=-3),
    "no path": lambda r: r.update(path=""),
    "a path with a NUL": lambda r: r.update(path="a\0b"),
    "a hash that is none": lambda r: r["part"].update(sha256="*"),
    "bytes below none": lambda r: r["part"].update(bytes=-1),
    "another key": lambda r: r.update(run="rm -rf"),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_staged_receipt_with_senseless_values_counts_for_nothing(
    kind: str, staged: Settings, tmp_path: Path
) -> None:
    path = staging(tmp_path) / PART.replace(".parquet", ".json")
    receipt = json.loads(path.read_text())
    PLANTED[kind](receipt)
    path.write_text(json.dumps(receipt))
    assert run_without_ray(staged).rows_this_run == 3
    assert verify(str(tmp_path / "out"))[1] == []


def published(staged: Settings, tmp_path: Path) -> Path:
    """Publish, and return the output."""
    run_without_ray(staged)
    return tmp_path / "out"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["../../../../../../etc/passwd", "/dev/zero", "/dev/tty", "../victim.txt"])
def test_a_manifest_that_names_files_outside_the_output_is_refused_and_reveals_nothing_of_them(
    name: str, staged: Settings, tmp_path: Path
) -> None:
    out = published(staged, tmp_path)
    manifest = json.loads((out / "_manifest.json").read_text())
    manifest["slices"][0]["part"]["file"] = name
    content = json.dumps(manifest).encode()
    (out / "_manifest.json").write_bytes(content)
    success = json.loads((out / "_SUCCESS").read_text())
    success["manifest_sha256"] = hashlib.sha256(content).hexdigest()
    (out / "_SUCCESS").write_text(json.dumps(success))
    with pytest.raises(OutputError, match=r"no readable _manifest\.json$"):
        verify(str(out))


def _link(path: Path, target: Path) -> None:
    target.write_bytes(path.read_bytes()) if path.exists() else target.touch()
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _pipe(path: Path, _: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _device(path: Path, _: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


STRANGE = {"a link": _link, "a pipe": _pipe, "a device": _device}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", STRANGE)
def test_a_part_that_is_not_a_regular_file_is_detected_and_scored_again(
    kind: str, staged: Settings, tmp_path: Path
) -> None:
    out = published(staged, tmp_path)
    before = (out / PART).read_bytes()
    STRANGE[kind](out / PART, tmp_path / "elsewhere")
    assert verify(str(out))[1] == [f"{PART}: is a link or a device"]
    run_without_ray(staged)
    assert verify(str(out))[1] == []
    assert (out / PART).read_bytes() == before
    assert not (out / PART).is_symlink()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("name", ["_SUCCESS", "_manifest.json", "_lease.json"])
def test_a_record_that_is_not_a_regular_file_never_blocks_a_run(
    name: str, kind: str, staged: Settings, tmp_path: Path
) -> None:
    out = published(staged, tmp_path)
    STRANGE[kind](out / name, tmp_path / "elsewhere")

    def take() -> None:
        with leased(str(out), lambda _: None):
            pass

    with pytest.raises(NightscoreError, match=r"not a regular file"):
        take() if name == "_lease.json" else verify(str(out))


@pytest.mark.parametrize("name", ["_staging", "_rejects", "_runs", "_aside"])
def test_a_folder_of_ours_that_is_a_link_is_refused(
    name: str, tmp_path: Path, settings_for: SettingsMaker, run_here: Runner
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a", None]})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=f"'{name}' in it is a link"):
        run_here(settings_for())
    assert list((tmp_path / "elsewhere").iterdir()) == []
