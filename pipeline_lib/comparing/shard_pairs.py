"""Which shard of one output is which shard of another: by content, else by path. Pure."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline_lib.storage.records import Manifest, ShardRecord


class ShardPair(NamedTuple):
    """A shard in both outputs."""

    name: str
    """Path below the first output's input."""
    first: int
    """Number of the shard in the first output; `second` likewise."""
    second: int
    is_same_file: bool
    """Whether both are known to have the same content; else only path and number of rows are known to be equal."""


@dataclass(frozen=True)
class ShardPairs:
    """The shards of two outputs, paired."""

    pairs: list[ShardPair] = field(default_factory=list)
    only_in_first: list[str] = field(default_factory=list)
    """Paths of shards that the second output has no shard for; likewise the next field."""
    only_in_second: list[str] = field(default_factory=list)


class _Named(NamedTuple):
    record: ShardRecord
    name: str


def pair_shards(first: Manifest, second: Manifest) -> ShardPairs:
    """Pair the shards of two outputs.

    Shards of the same content are the same rows, wherever they lie. Among several of the same content, and where
    the content differs or is told by different hashes, the path below the input decides, and the number of rows
    must be equal.
    """
    ours, theirs = _named(first), _named(second)
    found: list[ShardPair] = []
    keys: list[tuple[Callable[[_Named], Hashable], bool]] = [
        (lambda each: (each.record.content, each.record.rows, each.name), True),
        (lambda each: (each.record.content, each.record.rows), True),
        (lambda each: (each.name, each.record.rows), False),
    ]
    for key, is_same in keys:
        matched = _matched(ours, theirs, key)
        found += [ShardPair(one.name, one.record.number, other.record.number, is_same) for one, other in matched]
        taken_first, taken_second = {pair.first for pair in found}, {pair.second for pair in found}
        ours = [each for each in ours if each.record.number not in taken_first]
        theirs = [each for each in theirs if each.record.number not in taken_second]
    return ShardPairs(sorted(found), [each.name for each in ours], [each.name for each in theirs])


def _matched(
    ours: Sequence[_Named], theirs: Sequence[_Named], key: Callable[[_Named], Hashable]
) -> Iterable[tuple[_Named, _Named]]:
    """Yield shards with equal keys; of several with the same key the first with the first, and so on."""
    waiting: dict[Hashable, list[_Named]] = defaultdict(list)
    for other in reversed(theirs):
        waiting[key(other)].append(other)
    for one in ours:
        if others := waiting[key(one)]:
            yield one, others.pop()


def _named(manifest: Manifest) -> list[_Named]:
    """Return the shards with their paths below the input, sorted; a path that several have stays as it is."""
    paths = manifest.settings.get("input", {}).get("path", [])
    roots = sorted(map(_root, [paths] if isinstance(paths, str) else paths), key=len, reverse=True)
    named = [_Named(record, _below(record.path, roots)) for record in manifest.shards]
    times: dict[str, int] = defaultdict(int)
    for each in named:
        times[each.name] += 1
    unique = (each if times[each.name] == 1 else each._replace(name=each.record.path) for each in named)
    return sorted(unique, key=lambda each: (each.name, each.record.number))


def _root(path: str) -> str:
    """Return the folder of a path of the settings that has no pattern in it."""
    plain = re.split(r"[*?\[]", path, maxsplit=1)[0]
    return (path if plain == path else plain.rpartition("/")[0]).rstrip("/")


def _below(path: str, roots: Sequence[str]) -> str:
    """Return a path below the longest folder of the settings that it lies in; a file that they name is its name."""
    for root in roots:
        if path == root:
            break
        if path.startswith(f"{root}/"):
            return path[len(root) + 1 :]
    return os.path.basename(path)
