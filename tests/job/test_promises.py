"""Random tables, slices and rejects, from plan to publish: the promises hold for each."""

import csv
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline_lib.publishing.verifier import verify
from pipeline_lib.settings.settings_file import parse_settings
from tests.conftest import read_output, run_without_ray
from tests.helpers.checkpoints import tiny_checkpoints as tiny
from tests.helpers.watching.published import published_hashes

TEXTS = ["good", "bad", "", "  ", "fine 🙂", "long " * 90, "NA", "two\nlines", 'say "hi"', "[SEP] x", "x" * 30]
ROW = st.tuples(st.sampled_from([*TEXTS, None]), st.sampled_from(["1", "2", None]))
SHARD = st.tuples(st.sampled_from(["parquet", "csv"]), st.lists(ROW, max_size=25))


@pytest.fixture(scope="module")
def answers(checkpoint: Path) -> dict[str, tiny.Answer]:
    """What the pipeline says of each text."""
    return dict(zip(TEXTS, tiny.oracle(checkpoint, TEXTS, 64), strict=True))


def write(folder: Path, shards: list[tuple[str, list[tuple[str | None, str | None]]]]) -> None:
    """Write shards of both kinds; each row has a number of its own, and an id that may repeat or be null."""
    folder.mkdir()
    for number, (kind, rows) in enumerate(shards):
        names = [f"{number}-{row}" for row in range(len(rows))]
        if kind == "parquet":
            columns = {"at": names, "id": [key for _, key in rows], "text": [text for text, _ in rows]}
            pq.write_table(
                pa.table({name: pa.array(column, pa.string()) for name, column in columns.items()}),
                folder / f"{number}.parquet",
                row_group_size=7,
            )
        else:
            with (folder / f"{number}.csv").open("w", newline="", encoding="utf-8") as file:
                table = csv.writer(file)
                table.writerow(["at", "id", "text"])
                # A CSV has no nulls; there a row with a field too many is what can't be scored.
                table.writerows(
                    [name, key or "", text] if text is not None else [name, "", "", "more"]
                    for name, (text, key) in zip(names, rows, strict=True)
                )


def run(home: Path, checkpoint: Path, out: str, **tuning: Any) -> tuple[int, int]:
    """Plan, score and publish in this process; return rows scored and rejected."""
    outcome = run_without_ray(
        parse_settings(
            {
                "model": {"name": str(checkpoint)},
                "input": {"path": str(home / "in")},
                "output": {"path": str(home / out)},
                "limits": {"max_reject_rate": 1.0, "min_rows": 0},
                "tuning": tuning,
            }
        )
    )
    return outcome.scored, outcome.rejected


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shards=st.lists(SHARD, min_size=1, max_size=3),
    slices=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    budgets=st.tuples(st.integers(1, 500), st.integers(1, 500)),
)
def test_every_row_once_with_the_pipelines_answer_however_it_is_cut(
    shards: list[Any], slices: tuple[int, int], budgets: tuple[int, int], checkpoint: Path, answers: dict[str, Any]
) -> None:
    home = Path(tempfile.mkdtemp())
    try:
        write(home / "in", shards)
        cuts = [
            {"rows_per_slice": rows, "tokens_per_batch": tokens}
            for rows, tokens in zip(slices, budgets, strict=True)
        ]
        for out, cut in zip(("one", "two"), cuts, strict=True):
            scored, rejected = run(home, checkpoint, out, **cut)
            expected = {
                f"{number}-{row}": text
                for number, (_, rows) in enumerate(shards)
                for row, (text, _) in enumerate(rows)
            }
            assert scored + rejected == len(expected)
            assert rejected == sum(text is None for text in expected.values())
            assert verify(str(home / out))[1] == []
            found = read_output(home / out).to_pylist() if scored else []
            assert sorted(row["at"] for row in found) == sorted(
                at for at, text in expected.items() if text is not None
            )
            for row in found:
                answer = answers[str(expected[row["at"]])]
                assert row["label"] == answer.label
                np.testing.assert_allclose(row["score"], answer.score, rtol=0, atol=1e-5)
        run(home, checkpoint, "again", **cuts[0])
        parts = [
            {name: made for name, made in published_hashes(home / out).items() if "part-" in name}
            for out in ("one", "again")
        ]
        assert parts[0] == parts[1]
    finally:
        shutil.rmtree(home)
