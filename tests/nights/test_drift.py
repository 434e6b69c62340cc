"""Nights that are unlike the nights before: held, warned of, accepted, and what later nights are compared with."""

import datetime as dt
import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from rich.console import Console

from pipeline_lib.execution.local_executor import LocalExecutor
from pipeline_lib.pipeline import Job, run_together
from pipeline_lib.reporting.attempt import Attempt
from pipeline_lib.reporting.records.attempts import Attempts
from pipeline_lib.reporting.terminal.progress import Progress
from pipeline_lib.settings.settings_file import load_settings
from tests.conftest import ROOT, read_output, write_parquet
from tests.helpers.command_line import Ended, lines_about, nightscore
from tests.helpers.watching.nights import night, nightly, span

LIMITS = {"max_score_drift": 0.2, "max_label_drift": 0.05}


def strict(folder: Path, checkpoint: Path, **limits: Any) -> Path:
    """Write a settings file for the nights of a folder, in which drift holds a night."""
    config = nightly(folder, checkpoint, rows_per_slice=256)
    sections = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**sections, "limits": {**LIMITS, **limits}}))
    return config


def write_texts(folder: Path, number: int, texts: Sequence[str]) -> None:
    write_parquet(folder / "in" / f"{night(number)}" / "a.parquet", {"id": range(len(texts)), "text": list(texts)})


def run_all(config: Path, numbers: Sequence[int]) -> tuple[list[int], str]:
    """Run nights one after the other with one model; return their exit codes and what is printed."""
    attempts, printed = [Attempt(date=night(number)) for number in numbers], StringIO()
    progress = Progress(Console(file=printed, width=10_000), is_one_night=False)
    run_together({"": Job(load_settings(config))}, Attempts(attempts), progress, LocalExecutor())
    return [attempt.outcome.exit_code if attempt.outcome else -1 for attempt in attempts], printed.getvalue()


def run_one(config: Path, number: int, *options: str) -> Ended:
    return nightscore("run", str(config), "--local", "--date", f"{night(number)}", *options)


def metrics(folder: Path, number: int) -> dict[str, Any]:
    """Return the metrics of a night, published or held."""
    output = folder / "out" / f"{night(number)}"
    (path,) = [*output.glob("_metrics.json"), *output.glob("_staging/*/_metrics.json")]
    told: dict[str, Any] = json.loads(path.read_text())
    return told


def reference_of(folder: Path, number: int) -> list[int]:
    """Return the numbers of the nights that a night was compared with."""
    dates = metrics(folder, number)["drift"]["reference"]["nights"]
    return [(dt.date.fromisoformat(date) - night(0)).days for date in dates]


def test_a_night_that_is_off_is_held_until_it_is_accepted_and_then_it_counts_for_the_next(
    tmp_path: Path, checkpoint: Path
) -> None:
    config = strict(tmp_path, checkpoint)
    words = [
        f"{first} {second} {third}" for first in "abcdefgh" for second in ["good", "bad"] for third in range(25)
    ]
    for number in range(4):
        write_texts(tmp_path, number, [words[at] for at in np.random.default_rng(number).permutation(400)])
    assert run_all(config, range(4))[0] == [0, 0, 0, 0]
    assert metrics(tmp_path, 0)["drift"]["reference"]["reason"] == "the first night"
    by_score = read_output(tmp_path / "out" / f"{night(0)}").sort_by(
        [("label", "ascending"), ("score", "descending")]
    )
    text_of = dict(enumerate(words[at] for at in np.random.default_rng(0).permutation(400)))
    certain = [text_of[row] for row in by_score.column("id").to_pylist()[:80]]
    write_texts(tmp_path, 4, certain * 5)

    held = run_one(config, 4)
    assert held.returncode == 3
    assert "differ from the last 4 accepted nights" in held.stderr
    assert "limits.max_score_drift is 0.2" in held.stderr
    assert 'to publish it all the same: run --accept "why"' in held.stderr
    told = metrics(tmp_path, 4)
    assert (told["drift"]["verdict"], told["manifest_sha256"], told["exit_code"]) == ("failed", None, 3)
    assert told["statistics"]["scored"] == 400
    (shown,) = json.loads(
        nightscore("status", str(config), *("--from", str(night(4)), "--to", str(night(4))), "--json").stdout
    )
    assert shown["state"] == "held"
    assert "max_score_drift" in shown["gate"]
    assert "population stability index" in shown["reason"]

    # A held night is no reference, and neither a broken file of an earlier night nor a missing one stops this one.
    (tmp_path / "out" / f"{night(1)}" / "_metrics.json").write_text("{")
    write_texts(tmp_path, 5, words)
    quiet = run_one(config, 5)
    assert quiet.returncode == 0, quiet.stderr
    assert reference_of(tmp_path, 5) == [0, 2, 3]
    assert f"not compared with 1 night whose _metrics.json can't be read: {night(1)}" in quiet.stderr
    assert lines_about(quiet.stderr, "drift") == ["passed; compared with the last 3 accepted nights"]

    accepted = run_one(config, 4, "--accept", "a sale")
    assert accepted.returncode == 0, accepted.stderr
    assert "note     accepted: the scores" in accepted.stderr
    assert "accepted in spite of max_score_drift" in accepted.stdout
    assert lines_about(accepted.stderr, "drift") == [
        "failed, and accepted; compared with the last 3 accepted nights"
    ]
    assert metrics(tmp_path, 4)["manifest_sha256"]
    assert not (tmp_path / "out" / f"{night(4)}" / "_staging").exists()
    write_texts(tmp_path, 6, words)
    assert run_one(config, 6).returncode == 0
    assert reference_of(tmp_path, 6) == [0, 2, 3, 4, 5]

    # Other scores are compared with none of these, and with no pinned night of theirs.
    write_texts(tmp_path, 7, words)
    other = run_one(config, 7, "--set", "model.max_tokens=9", "--set", f"limits.reference_date={night(0)}")
    assert (
        "note     limits.reference_date: the pinned night 2026-11-01 is of another model or other" in other.stderr
    )
    assert lines_about(other.stderr, "drift") == [
        "not compared with other nights: the first night of this model and these settings"
    ]


GERMAN = (
    "Das Kleid passt überhaupt nicht und die Farbe ist falsch.",
    "Ich bin sehr zufrieden, die Lieferung kam schnell an.",
    "Leider ging das Gerät nach zwei Tagen kaputt.",
    "Die Schuhe sind bequem, aber die Sohle quietscht.",
    "Meine Tochter liebt das Buch und liest es jeden Abend.",
    "Für diesen Preis hätte ich mehr erwartet.",
    "Der Kundendienst hat sofort geantwortet und alles ersetzt.",
    "Nie wieder, das war reine Geldverschwendung.",
)
SHIFTED, GERMAN_NIGHT, DOUBLED = 22, 23, 24


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_month_of_reviews(tmp_path: Path) -> None:
    """Quiet nights pass; one of bad reviews, one in German and one that came twice do not go unnoticed."""
    reviews = pq.read_table(ROOT / "configs" / "sample" / "reviews").to_pandas()
    short = reviews[reviews.text.str.len().between(1, 150)]
    config = strict(tmp_path, ROOT / "configs" / "sample" / "model")
    for number in range(30):
        random = np.random.default_rng(number)
        texts = list(random.choice(short.text, 320))
        if number == SHIFTED:
            texts = [*random.choice(short.text[short.rating <= 2], 280), *texts[:40]]
        if number == GERMAN_NIGHT:
            texts = [" ".join(random.choice(GERMAN, 3)) for _ in texts]
        write_texts(tmp_path, number, texts * (2 if number == DOUBLED else 1))

    codes, printed = run_all(config, range(28))
    verdicts = [metrics(tmp_path, number)["drift"]["verdict"] for number in range(28)]
    odd = {SHIFTED, GERMAN_NIGHT, DOUBLED}
    assert verdicts[:4] == ["not_evaluated"] * 4  # 1,000 rows of earlier nights are needed
    assert {verdict for number, verdict in enumerate(verdicts[4:], 4) if number not in odd} == {"passed"}
    assert set(codes) == {0, 3}
    assert [code == 3 for code in codes] == [verdict == "failed" for verdict in verdicts]
    assert (codes[SHIFTED], verdicts[SHIFTED]) == (3, "failed")
    assert verdicts[GERMAN_NIGHT] in {"failed", "warned"}
    assert (codes[DOUBLED], verdicts[DOUBLED]) == (0, "warned")
    assert f"{night(DOUBLED)}: the share of duplicates is " in printed
    held = {number for number, code in enumerate(codes) if code}
    assert not held & set(reference_of(tmp_path, 27))

    states = json.loads(nightscore("status", str(config), *span(28), "--json").stdout)
    assert states[SHIFTED]["state"] == "held"
    assert "max_label_drift" in states[SHIFTED]["gate"]
    assert run_one(config, SHIFTED, "--accept", "a recall").returncode == 0
    assert run_all(config, [28, 29])[0] == [0, 0]
    assert reference_of(tmp_path, 28) == [0, 7, 14, 21]
    assert reference_of(tmp_path, 29) == [1, 8, 15, SHIFTED]
