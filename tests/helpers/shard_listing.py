"""Files to list, and the shards and notices that listing them gives."""

from pathlib import Path

from pipeline_lib.inputs.discovery.listing import find_shards


def shards_of(folder: Path, path: str = "") -> list[str]:
    found = find_shards([f"{folder}/{path}" if path else str(folder)], dated=False)
    return [name.removeprefix(f"{folder}/") for name in found.stamps]


def notices_of(folder: Path, path: str = "") -> str:
    notices = find_shards([f"{folder}/{path}" if path else str(folder)], dated=False).notices
    return "; ".join(notices).replace(f"{folder}/", "")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
