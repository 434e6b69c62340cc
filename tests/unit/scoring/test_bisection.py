"""Rows that crash their process are found, and no others."""

from collections import Counter
from collections.abc import Iterator
from itertools import repeat

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.errors import FaultError, InputError
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.scoring.bisection import Ledger
from pipeline_lib.scoring.quarantine import reading_counted, run_with_quarantine
from pipeline_lib.scoring.stage import OnBatch


class CrashError(BaseException):
    """Stands for the end of a process: nothing after it runs."""


def a_slice(texts: list[str]) -> pa.Table:
    """Return a slice as read; ` & ` parts the two texts of a pair."""
    nothing = pa.nulls(len(texts), pa.string())
    pairs = [text.partition(" & ") for text in texts]
    return pa.table(
        {
            columns.ROW: pa.array(range(len(texts)), pa.int64()),
            columns.TEXT: pa.array([first.encode() for first, _, _ in pairs], pa.large_binary()),
            columns.PAIR: pa.array([pair.encode() if amp else None for _, amp, pair in pairs], pa.large_binary()),
            columns.REJECT_CODE: nothing,
            columns.REJECT_MESSAGE: nothing,
        }
    )


class CrashingStage:
    """A stage that some texts crash, and chance.

    Args:
        size: rows of a batch.
        culprits: texts that crash it.
        chance: whether it crashes by chance, for each batch and each probe.
        distinct: whether it computes equal texts once, as the model does, and the tokenizer does not.
    """

    name = "model"
    of = "any"
    reads = (columns.TEXT, columns.PAIR)

    def __init__(self, size: int, culprits: set[str], chance: Iterator[bool], *, distinct: bool = False) -> None:
        self._size, self._culprits, self._chance, self._distinct = size, culprits, chance, distinct
        self.crashes_alone: Counter[str] = Counter()
        """Of each text, since it last survived."""

    def __call__(self, table: pa.Table, on_batch: OnBatch | None = None, *, one_by_one: bool = False) -> pa.Table:  # noqa: ARG002
        """Return the table as it is, or die."""
        firsts, pairs = (table.column(name).to_pylist() for name in self.reads)
        texts = [
            " & ".join(part.decode() for part in row if part is not None) for row in zip(firsts, pairs, strict=True)
        ]
        valid = table.column(columns.REJECT_CODE).is_null().to_pylist()
        rows = [row for row in range(table.num_rows) if valid[row]]
        if self._distinct:
            rows = [row for row in rows if texts.index(texts[row]) == row]
        for start in range(0, len(rows), self._size):
            batch = rows[start : start + self._size]
            if on_batch:
                on_batch(batch)
            self._compute({texts[row] for row in batch})
        return table

    def _compute(self, texts: set[str]) -> None:
        if next(self._chance, False) or not self._culprits.isdisjoint(texts):
            self.crashes_alone.update(texts if len(texts) == 1 else ())
            raise CrashError
        for text in texts:
            del self.crashes_alone[text]

    def probe(self) -> None:
        """Crash only by chance."""
        if next(self._chance, False):
            raise CrashError


def work(
    texts: list[str], stage: CrashingStage, ledger: Ledger | None = None, shard: int = 0
) -> tuple[pa.Table, int]:
    """Let process after process work on a slice; return what the last one made of it, and how many died."""
    ledger = ledger or Ledger()

    for crashes in range(10_000):
        try:
            return run_with_quarantine(stage, Slice(shard, 0, len(texts)), a_slice(texts), ledger), crashes
        except CrashError:
            continue
    raise AssertionError


def rejected_rows(done: pa.Table) -> set[int]:
    """Return the rows that were rejected for crashing."""
    codes = done.column(columns.REJECT_CODE).to_pylist()
    return {row for row, code in enumerate(codes) if code == "killed_worker"}


def most_crashes(size: int, culprits: int, by_chance: int = 0) -> int:
    """Return the crashes that a batch size allows: one that is not noted, then a search and three alone each."""
    return 1 + (culprits + by_chance) * ((size - 1).bit_length() + 4)


@given(rows=st.integers(1, 200), size=st.integers(1, 64), distinct=st.booleans(), data=st.data())
def test_exactly_the_rows_that_crash_are_rejected_however_often_their_texts_repeat(
    rows: int, size: int, distinct: bool, data: st.DataObject
) -> None:
    of = data.draw(st.lists(st.integers(0, rows - 1), min_size=rows, max_size=rows), label="texts")
    texts = [f"text {text}" for text in of]
    culprits = data.draw(st.sets(st.sampled_from(texts), max_size=3))
    done, crashes = work(texts, CrashingStage(size, culprits, iter(()), distinct=distinct))
    assert rejected_rows(done) == {row for row, text in enumerate(texts) if text in culprits}
    assert crashes <= most_crashes(size, len(culprits))


@pytest.mark.parametrize("distinct", [False, True])
def test_thirty_copies_of_a_text_that_crashes_cost_no_more_crashes_than_one(distinct: bool) -> None:
    texts = ["it kills" if row % 3 == 0 else f"text {row}" for row in range(90)]
    done, crashes = work(texts, CrashingStage(16, {"it kills"}, iter(()), distinct=distinct))
    assert rejected_rows(done) == set(range(0, 90, 3))
    assert crashes <= most_crashes(16, 1) == 9


def test_a_culprit_of_one_slice_crashes_no_process_in_another() -> None:
    ledger = Ledger()
    texts = ["a", "b", "it kills", "c"]
    assert work(texts, CrashingStage(4, {"it kills"}, iter(())), ledger)[1] > 0
    done, crashes = work(texts[::-1], CrashingStage(4, {"it kills"}, iter(())), ledger, shard=1)
    assert (rejected_rows(done), crashes) == ({1}, 0)


def test_pairs_are_equal_only_where_both_their_texts_are() -> None:
    pairs = [("it", "kills"), ("kills", "it"), ("itkills", ""), ("it", "kills"), ("i", "tkills")]
    done, _ = work([" & ".join(pair) for pair in pairs], CrashingStage(5, {"it & kills"}, iter(())))
    assert rejected_rows(done) == {0, 3}


@given(
    texts=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60),
    size=st.integers(1, 16),
    culprits=st.sets(st.sampled_from("abcdefgh"), max_size=2),
    chance=st.lists(st.booleans(), max_size=60),
)
def test_only_rows_that_crashed_alone_three_times_in_a_row_are_culprits(
    texts: list[str], size: int, culprits: set[str], chance: list[bool]
) -> None:
    stage = CrashingStage(size, culprits, iter(chance))
    try:
        done, crashes = work(texts, stage)
    except FaultError:
        assert sum(chance) > 8, "without many crashes by chance there is always a result"
        return
    rejected = {texts[row] for row in rejected_rows(done)}
    assert rejected >= culprits & set(texts)
    assert all(stage.crashes_alone[text] >= 3 for text in rejected)
    assert crashes <= most_crashes(size, len(culprits), sum(chance))


def test_a_row_that_is_computed_alone_is_cleared_of_earlier_crashes() -> None:
    """It crashes alone twice, is computed, and crashes alone twice again: by chance each time."""
    ledger, key = Ledger(), ("model", 0, 0)
    for _ in range(2):
        ledger.begin_work(key)
        for _ in range(2):
            ledger.begin_batch(key, [b"row"])
            assert not ledger.begin_work(key).culprits
        ledger.begin_batch(key, [b"row"])
        ledger.clear_candidates(key)
    ledger.begin_batch(key, [b"row"])
    assert ledger.begin_work(key).culprits == frozenset()


@given(rows=st.integers(2, 100), size=st.integers(2, 64), chance=st.lists(st.booleans(), max_size=12))
def test_a_process_that_crashes_by_chance_costs_no_row(rows: int, size: int, chance: list[bool]) -> None:
    # Chance does not strike the same row three times while it is alone.
    crashes = (crash and not at % 3 for at, crash in enumerate(chance))
    done, _ = work([f"text {row}" for row in range(rows)], CrashingStage(size, set(), crashes))
    assert done.column(columns.REJECT_CODE).null_count == rows


def test_a_machine_that_crashes_on_everything_is_an_error_and_rejects_nothing() -> None:
    with pytest.raises(FaultError, match=r"2\d workers died at the model over rows 0 to 9 of shard 0"):
        work([f"text {row}" for row in range(10)], CrashingStage(4, set(), repeat(True)))


def test_a_slice_that_was_done_has_no_crashes_when_it_is_begun_again() -> None:
    ledger, key = Ledger(), ("model", 0, 0)
    ledger.begin_work(key)
    ledger.end_work(key)
    assert ledger.begin_work(key).crashes == 0


def test_a_lost_ledger_starts_empty_in_the_middle_of_a_slice() -> None:
    ledger, key = Ledger(), ("model", 0, 0)
    ledger.clear_candidates(key)
    ledger.end_work(key)
    ledger.begin_batch(key, [b"a", b"b"])
    assert ledger.begin_work(key).candidates == ((b"a",), (b"b",))


def test_processes_that_crash_while_they_read_are_counted_and_the_rows_named() -> None:
    ledger = Ledger()

    part = Slice(3, 2048, 1024)
    for _ in range(5):
        ledger.begin_work(("reader", *part.key))  # and never ends
    with (
        pytest.raises(FaultError, match=r"'in/a\.csv': 5 workers died while they read rows 2,048 to 3,071"),
        reading_counted("in/a.csv", part, ledger),
    ):
        pass


def test_an_error_while_reading_is_no_crash() -> None:
    ledger = Ledger()

    for _ in range(10):
        with pytest.raises(InputError), reading_counted("in/a.csv", Slice(0, 0, 1), ledger):
            raise InputError
