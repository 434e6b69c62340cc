"""Verify: read what was published again and check every file and count against the manifest."""

import hashlib
from typing import Any

from pipeline_lib import standing, storage
from pipeline_lib.errors import OutputError
from pipeline_lib.manifest import MANIFEST, REJECTS, SUCCESS, Manifest, Success


def verify(path: str) -> tuple[Manifest, list[str]]:
    """Return the manifest of an output folder, and one line for each thing that is wrong.

    Raises:
        OutputError: nothing is published there.
    """
    fs, folder = storage.filesystem(path)
    with storage.faults_named(path, "verifying"):
        success, manifest = standing.read_success(fs, folder), standing.read_manifest(fs, folder)
        if success is None or manifest is None:
            lacks = SUCCESS if success is None else MANIFEST
            raise OutputError(f"{path!r} is not a published output: no readable {lacks}")
        return manifest, [
            *_check_success(fs, folder, success, manifest),
            *_check_files(fs, folder, manifest),
            *_check_strangers(fs, folder, manifest),
            *_check_counts(manifest),
        ]


def _check_success(fs: Any, folder: str, success: Success, manifest: Manifest) -> list[str]:
    content = storage.read_bytes(fs, f"{folder}/{MANIFEST}") or b""
    problems = []
    if hashlib.sha256(content).hexdigest() != success.manifest_sha256:
        problems.append(f"{MANIFEST}: is not the manifest that {SUCCESS} was written for")
    for name in ("version", "rows", "scored", "rejected"):
        said, counted = getattr(success, name), getattr(manifest, name)
        if said != counted:
            problems.append(f"{SUCCESS}: says {name} {said}, {MANIFEST} says {counted}")
    return problems


def _check_files(fs: Any, folder: str, manifest: Manifest) -> list[str]:
    files = [file for receipt in manifest.slices for file in receipt.files]
    found = ((file.file, standing.fault(fs, f"{folder}/{file.file}", file)) for file in files)
    return [f"{name}: {fault}" for name, fault in found if fault]


def _check_strangers(fs: Any, folder: str, manifest: Manifest) -> list[str]:
    """Name the files that readers would take for ours and that the manifest does not know."""
    known = {file.file for receipt in manifest.slices for file in receipt.files}
    here = [name for name in _names(fs, folder) if not name.startswith(("_", "."))]
    here += [f"{REJECTS}/{name}" for name in _names(fs, f"{folder}/{REJECTS}")]
    return [f"{name}: is not in {MANIFEST}" for name in sorted(here) if name not in known]


def _names(fs: Any, folder: str) -> list[str]:
    try:
        return [str(name).rstrip("/").rsplit("/", 1)[-1] for name in fs.ls(folder, detail=False)]
    except FileNotFoundError:
        return []


def _check_counts(manifest: Manifest) -> list[str]:
    problems = []
    for shard in manifest.shards:
        slices = [receipt for receipt in manifest.slices if receipt.shard == shard.number]
        scored = sum(receipt.scored for receipt in slices)
        rejected = sum(receipt.rejected for receipt in slices)
        if (shard.rows, shard.scored, shard.rejected) != (scored + rejected, scored, rejected):
            problems.append(
                f"{MANIFEST}: shard {shard.path!r} has {shard.rows:,} rows, its parts {scored:,} scored "
                f"and {rejected:,} rejected"
            )
    for name in ("rows", "scored", "rejected"):
        total = sum(getattr(shard, name) for shard in manifest.shards)
        if getattr(manifest, name) != total:
            problems.append(f"{MANIFEST}: says {name} {getattr(manifest, name):,}, its shards sum to {total:,}")
    return problems
