"""Rows that kill their process are found, alone; others never are."""

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


class DeathError(BaseException):
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


class Deadly:
    """A stage that dies of some texts, and whenever chance strikes.

    Args:
        size: rows of a batch.
        kills: texts that it dies of.
        strokes: whether chance strikes, for each batch and each probe.
        distinct: whether it computes equal texts once, as the model does, and the tokenizer does not.
    """

    name = "model"
    reads = (columns.TEXT, columns.PAIR)

    def __init__(self, size: int, kills: set[str], strokes: Iterator[bool], *, distinct: bool = False) -> None:
        self._size, self._kills, self._strokes, self._distinct = size, kills, strokes, distinct
        self.deaths_alone: Counter[str] = Counter()
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
        if next(self._strokes, False) or not self._kills.isdisjoint(texts):
            self.deaths_alone.update(texts if len(texts) == 1 else ())
            raise DeathError
        for text in texts:
            del self.deaths_alone[text]

    def probe(self) -> None:
        """Die only by chance."""
        if next(self._strokes, False):
            raise DeathError


def work(texts: list[str], stage: Deadly, ledger: Ledger | None = None, shard: int = 0) -> tuple[pa.Table, int]:
    """Let process after process work on a slice; return what the last one made of it, and how many died."""
    ledger = ledger or Ledger()

    for deaths in range(10_000):
        try:
            return run_with_quarantine(stage, Slice(shard, 0, len(texts)), a_slice(texts), ledger), deaths
        except DeathError:
            continue
    raise AssertionError


def killed(done: pa.Table) -> set[int]:
    """Return the rows that were rejected for killing."""
    codes = done.column(columns.REJECT_CODE).to_pylist()
    return {row for row, code in enumerate(codes) if code == "killed_worker"}


def most_deaths(size: int, kills: int, strokes: int = 0) -> int:
    """Return the deaths that a batch size allows: one that is not noted, then a search and three alone for each."""
    return 1 + (kills + strokes) * ((size - 1).bit_length() + 4)


@given(rows=st.integers(1, 200), size=st.integers(1, 64), distinct=st.booleans(), data=st.data())
def test_exactly_the_rows_that_kill_are_rejected_however_often_their_texts_repeat(
    rows: int, size: int, distinct: bool, data: st.DataObject
) -> None:
    of = data.draw(st.lists(st.integers(0, rows - 1), min_size=rows, max_size=rows), label="texts")
    texts = [f"text {text}" for text in of]
    kills = data.draw(st.sets(st.sampled_from(texts), max_size=3))
    done, deaths = work(texts, Deadly(size, kills, iter(()), distinct=distinct))
    assert killed(done) == {row for row, text in enumerate(texts) if text in kills}
    assert deaths <= most_deaths(size, len(kills))


@pytest.mark.parametrize("distinct", [False, True])
def test_thirty_copies_of_a_text_that_kills_cost_no_more_deaths_than_one(distinct: bool) -> None:
    texts = ["it kills" if row % 3 == 0 else f"text {row}" for row in range(90)]
    done, deaths = work(texts, Deadly(16, {"it kills"}, iter(()), distinct=distinct))
    assert killed(done) == set(range(0, 90, 3))
    assert deaths <= most_deaths(16, 1) == 9


def test_a_text_that_killed_in_one_slice_kills_no_process_in_another() -> None:
    ledger = Ledger()
    texts = ["a", "b", "it kills", "c"]
    assert work(texts, Deadly(4, {"it kills"}, iter(())), ledger)[1] > 0
    done, deaths = work(texts[::-1], Deadly(4, {"it kills"}, iter(())), ledger, shard=1)
    assert (killed(done), deaths) == ({1}, 0)


def test_pairs_are_equal_only_where_both_their_texts_are() -> None:
    pairs = [("it", "kills"), ("kills", "it"), ("itkills", ""), ("it", "kills"), ("i", "tkills")]
    done, _ = work([" & ".join(pair) for pair in pairs], Deadly(5, {"it & kills"}, iter(())))
    assert killed(done) == {0, 3}


@given(
    texts=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60),
    size=st.integers(1, 16),
    kills=st.sets(st.sampled_from("abcdefgh"), max_size=2),
    strokes=st.lists(st.booleans(), max_size=60),
)
def test_no_row_is_guilty_that_did_not_die_alone_three_times_without_surviving_between(
    texts: list[str], size: int, kills: set[str], strokes: list[bool]
) -> None:
    stage = Deadly(size, kills, iter(strokes))
    try:
        done, deaths = work(texts, stage)
    except FaultError:
        assert sum(strokes) > 8, "without many strokes of chance there is always a result"
        return
    guilty = {texts[row] for row in killed(done)}
    assert guilty >= kills & set(texts)
    assert all(stage.deaths_alone[text] >= 3 for text in guilty)
    assert deaths <= most_deaths(size, len(kills), sum(strokes))


def test_a_row_that_survives_alone_is_cleared_of_what_chance_did_before() -> None:
    """It dies alone twice, survives, and dies alone twice again: by chance each time."""
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
def test_a_process_that_dies_by_chance_costs_no_row(rows: int, size: int, chance: list[bool]) -> None:
    # Chance does not strike the same row three times while it is alone.
    strokes = (stroke and not at % 3 for at, stroke in enumerate(chance))
    done, _ = work([f"text {row}" for row in range(rows)], Deadly(size, set(), strokes))
    assert done.column(columns.REJECT_CODE).null_count == rows


def test_a_machine_that_kills_everything_is_told_and_rejects_nothing() -> None:
    with pytest.raises(FaultError, match=r"2\d workers died at the model over rows 0 to 9 of shard 0"):
        work([f"text {row}" for row in range(10)], Deadly(4, set(), repeat(True)))


def test_slices_that_were_done_are_not_suspected_when_taken_up_again() -> None:
    ledger, key = Ledger(), ("model", 0, 0)
    ledger.begin_work(key)
    ledger.end_work(key)
    assert ledger.begin_work(key).crashes == 0


def test_a_ledger_that_was_lost_starts_anew_in_the_middle_of_a_slice() -> None:
    ledger, key = Ledger(), ("model", 0, 0)
    ledger.clear_candidates(key)
    ledger.end_work(key)
    ledger.begin_batch(key, [b"a", b"b"])
    assert ledger.begin_work(key).candidates == ((b"a",), (b"b",))


def test_processes_that_die_while_they_read_are_counted_and_the_rows_named() -> None:
    ledger = Ledger()

    part = Slice(3, 2048, 1024)
    for _ in range(5):
        ledger.begin_work(("reader", 3, 2048))  # and never ends
    with (
        pytest.raises(FaultError, match=r"'in/a\.csv': 5 workers died while they read rows 2,048 to 3,071"),
        reading_counted("in/a.csv", part, ledger),
    ):
        pass


def test_an_error_while_reading_is_no_death() -> None:
    ledger = Ledger()

    for _ in range(10):
        with pytest.raises(InputError), reading_counted("in/a.csv", Slice(0, 0, 1), ledger):
            raise InputError
