"""The files of nights, written as runs write them, but from numbers of our own: no model is needed."""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_lib.statistics.drift.references import NightRecord, choose_reference, drift_report
from pipeline_lib.statistics.drift.verdicts import DriftLimits
from pipeline_lib.statistics.evaluation import Evaluation
from pipeline_lib.statistics.row_statistics import RowStatistics
from pipeline_lib.statistics.scored_rows import ScoredRows, score_bins
from pipeline_lib.statistics.text_sample import text_hashes
from pipeline_lib.storage.records import Accepted, FileRecord, Manifest, Receipt, ShardRecord, Success, to_json

VERSION = "0123456789abcdef"
FIRST = dt.date(2026, 11, 1)
_HASH = "0" * 64


def night(number: int) -> dt.date:
    """Return the date of a night, counted from 0."""
    return FIRST + dt.timedelta(days=number)


@dataclass
class MadeNight:
    """A night that a run could have had."""

    number: int = 0
    labels: Sequence[str] = ("POSITIVE", "NEGATIVE")
    rows: int = 2000
    shift: float = 0.0
    """Added to the share of the first label."""
    rejected: Mapping[str, int] = field(default_factory=dict)
    shards: Sequence[str] = ("/data/in/a.parquet", "/data/in/b.parquet")
    earlier: Sequence[RowStatistics] = ()
    truth: bool = False
    held_by: str | None = None
    error: str = ""
    accepted: Mapping[str, Any] | None = None
    model: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scored(self) -> int:
        """Rows with a score."""
        return self.rows - sum(self.rejected.values())

    def columns(self) -> tuple[list[str], np.ndarray[Any, np.dtype[np.float32]]]:
        """Return label and score of each scored row."""
        numbers = np.random.default_rng(self.number)
        even = np.full(len(self.labels), 1 / len(self.labels))
        even[0] += self.shift
        weights = np.clip(even, 0, None) / np.clip(even, 0, None).sum()
        labels = [self.labels[at] for at in numbers.choice(len(self.labels), self.scored, p=weights)]
        return labels, (0.5 + numbers.beta(6, 1, self.scored) / 2).astype(np.float32)

    def statistics(self) -> RowStatistics:
        """Return what is counted of the rows."""
        return self._statistics

    @cached_property
    def _statistics(self) -> RowStatistics:
        labels, scores = self.columns()
        lengths = np.random.default_rng(self.number + 1).integers(3, 700, self.scored)
        rows = ScoredRows(
            labels,
            scores,
            lengths,
            lengths > 512,
            scores < 0.55,
            text_hashes(b"%d" % n for n in range(self.scored)),
        )
        return RowStatistics.of(score_bins("softmax"), rows, self.rejected)

    def evaluation(self) -> Evaluation:
        """Return the comparison with a truth that is right in most rows."""
        labels, scores = self.columns()
        numbers = np.random.default_rng(self.number + 2)
        wrong, index = numbers.random(len(labels)) > scores, {label: at for at, label in enumerate(self.labels)}
        own = np.array([index[label] for label in labels], np.int64)
        return Evaluation.of(self.labels, np.where(wrong, (own + 1) % len(self.labels), own), labels, scores)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What `_metrics.json` says."""
        rows, (_, scores) = self.statistics(), self.columns()
        others = [NightRecord(night(at), True, "v", each) for at, each in enumerate(self.earlier)]
        reference = choose_reference(others, night(self.number), "v")
        return {
            "status": "PUBLISHED",
            "version": VERSION,
            "date": night(self.number).isoformat(),
            "exit_code": 0,
            "rows": self.rows,
            "scored": self.scored,
            "rejected": sum(self.rejected.values()),
            "rows_this_run": self.rows,
            "seconds": 21.4,
            "scoring_seconds": 15.25,
            "tokens": 123_456,
            "busy": {"tokenizer": 0.25, "model": 0.9, "writer": 0.05},
            "peak_bytes": {"driver": [500 << 20], "model": [1 << 30, 900 << 20]},
            "reject_codes": dict(self.rejected),
            "labels": rows.labels,
            "mean_score": float(scores.mean()) if self.scored else None,
            "libraries": {"torch": "2.13.0"},
            "finished_at": f"{night(self.number)}T03:04:05+00:00",
            "statistics": rows.to_json(),
            "drift": drift_report(rows, reference, DriftLimits()).to_json(),
            "truth": self.evaluation().to_json() if self.truth else None,
            "model": self._model(),
        }

    def write(self, output: Path) -> Path:
        """Write the files of the night into `output/ds=<date>`, and return this folder."""
        folder = output / f"ds={night(self.number)}"
        (folder / "_runs").mkdir(parents=True)
        of_metrics_alone = {"statistics", "drift", "truth", "model"}
        record = {name: value for name, value in self.metrics.items() if name not in of_metrics_alone}
        if self.held_by:
            self._stage(folder / "_staging" / VERSION)
            record |= {"status": "FAILED", "exit_code": 3, "gate": self.held_by, "error": self.error}
        else:
            self._publish(folder)
        (folder / "_runs" / "20261122T010203.000000Z-0a1b2c3d.json").write_bytes(to_json(record))
        return folder

    def _publish(self, folder: Path) -> None:
        manifest = self.manifest().to_bytes()
        counts = {"rows": self.rows, "scored": self.scored, "rejected": self.rows - self.scored}
        success = Success(version=VERSION, **counts, manifest_sha256=hashlib.sha256(manifest).hexdigest())
        (folder / "_manifest.json").write_bytes(manifest)
        (folder / "_SUCCESS").write_bytes(success.to_bytes())
        (folder / "_metrics.json").write_bytes(to_json(self.metrics))

    def _stage(self, staging: Path) -> None:
        staging.mkdir(parents=True)
        (staging / "_metrics.json").write_bytes(to_json({**self.metrics, "status": "FAILED", "exit_code": 3}))
        for shard in self._shards():
            (staging / f"part-{shard.number:05d}-000000000.json").write_bytes(_receipt(shard).to_bytes())

    def manifest(self) -> Manifest:
        """Return the manifest, without slices."""
        counts = {"rows": self.rows, "scored": self.scored, "rejected": self.rows - self.scored}
        return Manifest(
            version=VERSION,
            fingerprint={},
            model=self._model(),
            settings={},
            libraries={},
            columns={},
            drift=None,
            accepted=self.accepted and Accepted.model_validate(self.accepted),
            computed_by={"cpu, torch 2.13.0": 1},
            shards=self._shards(),
            slices=[],
            **counts,
        )

    def _model(self) -> dict[str, Any]:
        return {
            "name": "org/reviews",
            "commit": "abc123",
            "sha256": _HASH,
            "precision": "float32",
            "architecture": "BertForSequenceClassification",
            "max_tokens": 512,
            "labels": list(self.labels),
            **self.model,
        }

    def _shards(self) -> list[ShardRecord]:
        """Share the rows out; all rejects are in the last shard as far as there is room."""
        shares = np.full(len(self.shards), self.rows // len(self.shards))
        shares[-1] += self.rows - shares.sum()
        left, shards = self.rows - self.scored, list[ShardRecord]()
        for number in reversed(range(len(self.shards))):
            rejected = min(left, int(shares[number]))
            left -= rejected
            counts = {"rows": int(shares[number]), "scored": int(shares[number]) - rejected, "rejected": rejected}
            shards.append(ShardRecord(number=number, path=self.shards[number], size=1, content="x", **counts))
        return shards[::-1]


def _receipt(shard: ShardRecord) -> Receipt:
    name = f"part-{shard.number:05d}-000000000.parquet"
    part = FileRecord(file=name, rows=shard.scored, bytes=1, sha256=_HASH)
    rejects = part.model_copy(update={"file": f"_rejects/{name}", "rows": shard.rejected})
    return Receipt(
        version=VERSION,
        shard=shard.number,
        path=shard.path,
        size=1,
        content="x",
        first_row=0,
        rows=shard.rows,
        part=part,
        rejects=rejects if shard.rejected else None,
    )
