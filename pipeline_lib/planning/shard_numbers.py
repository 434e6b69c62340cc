"""The numbers of shards, which name their parts: given once, and kept from before the first slice is scored."""

import dataclasses
from collections.abc import Mapping

from pipeline_lib.inputs.shards import Shard
from pipeline_lib.storage.records import NUMBERS, STAGING, ShardNumbers, parse
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of


def read(url: str, version: str) -> dict[str, int]:
    """Return the numbers by path that an earlier attempt at a version gave before it started to work."""
    with translated_errors(url, "reading the shards' numbers"):
        kept = parse(ShardNumbers, (location_of(url) / STAGING / version / NUMBERS).read())
    return kept.numbers if kept and kept.version == version else {}


def keep(url: str, version: str, shards: tuple[Shard, ...]) -> None:
    """Write the numbers of all shards beside the files that will be staged; called under the lease."""
    record = ShardNumbers(version=version, numbers={shard.path: shard.number for shard in shards})
    with translated_errors(url, "keeping the shards' numbers"):
        (location_of(url) / STAGING / version / NUMBERS).write(record.to_bytes())


def numbered(shards: tuple[Shard, ...], receipts: Mapping[str, int], kept: Mapping[str, int]) -> tuple[Shard, ...]:
    """Return the shards with the numbers that they were given before; new ones get the next, in their order.

    Args:
        shards: all of the input, sorted by path.
        receipts: numbers by path that names of parts hold already, published or staged.
        kept: those that were only given so far.
    """
    number = dict(receipts)
    taken = set(receipts.values())
    for path, given in kept.items():
        # A number is given once, whatever was written into the record.
        if path not in number and given not in taken:
            number[path] = given
            taken.add(given)
    after = max(taken, default=-1) + 1
    fresh = (shard.path for shard in shards if shard.path not in number)
    number |= {path: after + at for at, path in enumerate(fresh)}
    return tuple(
        shard if shard.number == number[shard.path] else dataclasses.replace(shard, number=number[shard.path])
        for shard in shards
    )
