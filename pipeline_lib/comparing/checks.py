"""Whether two outputs can be compared, and what a reader of the figures should know about them."""

from pipeline_lib.comparing.published import Published
from pipeline_lib.comparing.shard_pairs import ShardPairs
from pipeline_lib.errors import InputError, listed
from pipeline_lib.inputs import columns
from pipeline_lib.messages import count


def check_comparable(first: Published, second: Published) -> None:
    """Check that two outputs have a label in common: else every row would flip, which says nothing.

    Raises:
        InputError: they have none.
    """
    if first.labels and second.labels and not set(first.labels) & set(second.labels):
        raise InputError(
            f"the labels of {first.url!r} ({listed(first.labels)}) and of {second.url!r} ({listed(second.labels)}) "
            "have none in common, so every row would flip; give both checkpoints the same label names (id2label)"
        )


def notes_on(first: Published, second: Published, pairs: ShardPairs) -> tuple[str, ...]:
    """Return what a reader of the figures should know."""
    notes = []
    missing, added = (sorted(set(a.labels) - set(b.labels)) for a, b in ((first, second), (second, first)))
    if missing or added:
        notes.append(
            f"the labels differ: only in the first {listed(missing)}, only in the second {listed(added)}; the "
            "scores of rows that flip are not compared"
        )
    if first.activation != second.activation:
        notes.append(
            f"the scores are of different kinds ({first.activation} and {second.activation}), so their differences "
            "say little"
        )
    unproven = [pair.name for pair in pairs.pairs if not pair.is_same_file]
    if unproven:
        notes.append(
            f"{count(len(unproven), 'shard')} of equal path and number of rows, but not of the same bytes, "
            f"compared row by row: {listed(unproven, most=3)}"
        )
    for which, names in (("first", pairs.only_in_first), ("second", pairs.only_in_second)):
        if names:
            shards = f"{count(len(names), 'shard')}: {listed(names, most=3)}"
            notes.append(f"only in the {which}, so not compared: {shards}")
    has_all = all(columns.SCORES in each.added_columns for each in (first, second))
    if len(first.labels) > 2 and not (has_all or missing or added):
        notes.append(
            "only top scores are compared, and none where the label flips; with `output.scores: all` in both "
            "outputs, those of all labels are"
        )
    return tuple(notes)
