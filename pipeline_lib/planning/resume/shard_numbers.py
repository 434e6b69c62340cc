"""The numbers of shards, which are in the names of their parts: assigned once, saved before scoring begins."""

import dataclasses
from collections.abc import Mapping

from pipeline_lib.inputs.shards import Shard
from pipeline_lib.storage.records import NUMBERS, STAGING, ShardNumbers, parse
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of


def read(url: str, version: str) -> dict[str, int]:
    """Return the numbers, by path, that an earlier run of a version saved before it began to score."""
    with translated_errors(url, "reading the shards' numbers"):
        saved = parse(ShardNumbers, (location_of(url) / STAGING / version / NUMBERS).read())
    return saved.numbers if saved and saved.version == version else {}


def save(url: str, version: str, shards: tuple[Shard, ...]) -> None:
    """Save the numbers of all shards beside the files that will be staged; only the owner of the lease may."""
    record = ShardNumbers(version=version, numbers={shard.path: shard.number for shard in shards})
    with translated_errors(url, "saving the shards' numbers"):
        (location_of(url) / STAGING / version / NUMBERS).write(record.to_bytes())


def assign(shards: tuple[Shard, ...], used: Mapping[str, int], saved: Mapping[str, int]) -> tuple[Shard, ...]:
    """Return the shards with the numbers that they had before; new shards get the next ones, in their order.

    Args:
        shards: all of the input, sorted by path.
        used: numbers, by path, in the names of published or staged parts.
        saved: numbers, by path, that were assigned and may not be used yet.
    """
    number = dict(used)
    taken = set(used.values())
    for path, given in saved.items():
        # No number is assigned twice, whatever the record says.
        if path not in number and given not in taken:
            number[path] = given
            taken.add(given)
    after = max(taken, default=-1) + 1
    new = (shard.path for shard in shards if shard.path not in number)
    number |= {path: after + at for at, path in enumerate(new)}
    return tuple(
        shard if shard.number == number[shard.path] else dataclasses.replace(shard, number=number[shard.path])
        for shard in shards
    )
