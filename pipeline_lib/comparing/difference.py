"""Two published outputs compared: what flips, how far scores differ, and which rows differ most."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pipeline_lib.comparing.checks import check_comparable, notes_on
from pipeline_lib.comparing.compared_shards import NOTHING, ComparedShards, Found, Ids
from pipeline_lib.comparing.ids import id_column
from pipeline_lib.comparing.published import Published
from pipeline_lib.comparing.shard_pairs import ShardPairs, pair_shards
from pipeline_lib.errors import InputError
from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.statistics.comparison import Comparison

_SHARDS_AT_A_TIME = 256


@dataclass(frozen=True)
class Difference:
    """What tells two outputs apart."""

    first: Published
    second: Published
    comparison: Comparison
    pairs: ShardPairs
    id_column: str | None = None
    """The kept column that names rows, if there is one."""
    ids: Ids = field(default_factory=dict)
    """Of the examples."""
    notes: tuple[str, ...] = ()
    """What a reader of the figures should know."""

    @property
    def line(self) -> str:
        """The result in one line."""
        found = self.comparison
        share = found.flips / found.rows if found.rows else 0.0
        rows = f"{found.rows:,} row{'' if found.rows == 1 else 's'}"
        return (
            f"flips {found.flips:,} of {rows} ({share * 100:.3g}%), largest difference {in_digits(found.largest)}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return all figures as JSON values; `rows` are those that both outputs have a score for."""
        told = self.comparison.to_json()
        for example in told["examples"]:
            example["id"] = self.ids.get((example["shard"], example["row"]))
        return {
            **told,
            "first": self.first.to_json(),
            "second": self.second.to_json(),
            "id_column": self.id_column,
            "shards_only_in_first": self.pairs.only_in_first,
            "shards_only_in_second": self.pairs.only_in_second,
            "notes": list(self.notes),
        }


def in_digits(difference: float) -> str:
    """Return a difference of scores with four decimals, or if it is smaller with its power of ten.

    >>> in_digits(0.01234), in_digits(0.0), in_digits(5.4e-7)
    ('0.0123', '0.0000', '5.4e-07')
    """
    return f"{difference:.1e}" if 0 < difference < 0.00005 else f"{difference:.4f}"


def compare(first: Published, second: Published, id_name: str | None = None) -> Difference:
    """Compare two outputs row by row; memory does not grow with the number of rows.

    Args:
        first: what is published in one folder.
        second: and in the other.
        id_name: the kept column that names rows; None takes `id`, or the only one that ends in `_id`.

    Raises:
        SettingsError: there is no such column, or it holds the texts.
        InputError: the outputs have no shard or no label in common, or are not of the same rows.
        OutputError: a file is damaged.
        FaultError: the storage failed, or a run published meanwhile.
    """
    check_comparable(first, second)
    pairs = pair_shards(first.manifest, second.manifest)
    if not pairs.pairs and first.manifest.shards and second.manifest.shards:
        raise InputError(
            f"{first.url!r} and {second.url!r} have no shard in common, neither of the same content nor of "
            f"the same path below the input and as many rows; the first has {pairs.only_in_first[0]!r}, the second "
            f"{pairs.only_in_second[0]!r}"
        )
    name = id_column(first, second, id_name)
    shards = ComparedShards(first, second, name)
    found = _sum(in_threads(shards.compared, pairs.pairs))
    first.check_unchanged()
    second.check_unchanged()
    return Difference(first, second, found.comparison, pairs, name, found.ids, notes_on(first, second, pairs))


def _sum(shards: Iterable[Found]) -> Found:
    """Return the sum of shards; hundreds are added apart, since each sum copies what is known of all shards."""
    total = NOTHING
    waiting = NOTHING
    for number, found in enumerate(shards, 1):
        waiting = waiting.merged(found)
        if number % _SHARDS_AT_A_TIME == 0:
            total, waiting = total.merged(waiting), NOTHING
    return total.merged(waiting)
