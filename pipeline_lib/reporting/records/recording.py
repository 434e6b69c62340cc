"""Record a run beside its output: when it begins, while it works, and however it ends."""

import contextlib
import datetime as dt
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

from pipeline_lib.errors import BusyError, GateError, NightscoreError
from pipeline_lib.execution.executor import Work
from pipeline_lib.machine.processes import identity
from pipeline_lib.planning.discovery import open_output
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.provenance import checkpoint_stamp, deciding_settings, input_stamp
from pipeline_lib.planning.resume.earlier_work import is_own_output
from pipeline_lib.planning.resume.output_state import OutputState, read_output, staged_receipts
from pipeline_lib.planning.resume.verification import finished_slices
from pipeline_lib.reporting.attempt import Attempt
from pipeline_lib.reporting.outcome import Outcome
from pipeline_lib.reporting.records.endings import ended_badly, ended_well, told_of, unfinished
from pipeline_lib.reporting.records.night_files import NightFiles
from pipeline_lib.reporting.records.run_record import (
    MOST_RECORDS,
    Provenance,
    PublishedResult,
    RunRecord,
    new_record_name,
    newest_run,
    record_names,
)
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.integrity import read_success
from pipeline_lib.storage.records import RUNS, to_json
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of

SECONDS_BETWEEN_BEATS = 15.0
_NO_WORK = Work()


class Recording:
    """Writes the record of a run.

    Args:
        attempt: the run, which fills it in as it goes on.
        settings: whose paths mean the same on every machine.
        output: the state of the output folder before the run.
        dated_output: path of the output as in the settings, with `{date}` still in it.
    """

    def __init__(self, attempt: Attempt, settings: Settings, output: OutputState, dated_output: str) -> None:
        self.settings, self.output = settings, output
        self._attempt, self._folder, self._is_own = attempt, location_of(output.url), is_own_output(output)
        self._night_files = NightFiles(attempt, output, self._folder, dated_output, is_own=self._is_own)
        self._started = dt.datetime.now(dt.UTC)
        self._names = record_names(name for name, stamp in output.files.items() if stamp.regular)
        self._name = new_record_name(self._started, self._names[0] if self._names else None)
        self._lock = threading.Lock()
        self._is_over = False
        self._beat = 0
        self._number = 1
        self._earlier: RunRecord | None = None
        self._made_from = Provenance(settings=deciding_settings(settings))
        self._published: PublishedResult | None = None

    def begin(self) -> None:
        """Write the record for the first time, and remove the oldest ones; a failure here does not end the run."""
        with contextlib.suppress(NightscoreError), translated_errors(self.output.url, "reading the last record"):
            self._earlier = newest_run(self._folder, self._names)
        self._number = max(len(self._names), self._earlier.attempt if self._earlier else 0) + 1
        self._published = self._published_in(self.output)
        with contextlib.suppress(NightscoreError):
            self._made_from = self._made_from.model_copy(
                update={"checkpoint": checkpoint_stamp(self.settings.model)}
            )
        self.update()
        with contextlib.suppress(NightscoreError), translated_errors(self.output.url, "removing old records"):
            for name in self._names[MOST_RECORDS - 1 :] if self._is_own else ():
                (self._folder / RUNS / name).remove()

    def update(self) -> None:
        """Write how far the run has got, unless it has ended; a storage that fails now may answer the next time."""
        with contextlib.suppress(Exception), self._lock:
            if not self._is_over:
                self._write(unfinished(self._attempt))

    def end(self, plan: Plan, work: Work = _NO_WORK) -> Outcome:
        """Record a run that ended well and return how.

        Args:
            plan: the run's plan.
            work: memory and time by role.

        Raises:
            NightscoreError: the storage failed.
        """
        with self._lock:
            self._published = self._published_by(plan)
            is_told = self._attempt.night is None and self._night_files.take_over(plan, self._published)
            self._night_files.note_missing_truth(plan)
            outcome = ended_well(self._attempt, plan, work)
            # Before the record, so that a run that is recorded as published has left its metrics.
            if not is_told:
                self._night_files.write_metrics(outcome, plan, self._published)
            self._attempt.outcome = outcome
            self._write(outcome)
            self._is_over = True
        if is_told:
            self._night_files.name_page()
        else:
            self._night_files.write_page()
        return outcome

    def fail(self, error: BaseException) -> None:
        """Record that an error or a signal ended the run; one that ended before stays as it is recorded.

        The user must see the failure itself, also when the storage refuses the record.
        """
        with contextlib.suppress(Exception), self._lock:
            if self._is_over:
                return
            if self._attempt.outcome and isinstance(error, KeyboardInterrupt):  # while its end was recorded
                self._write(self._attempt.outcome)
                self._is_over = True
                return
            with contextlib.suppress(Exception):
                # Another run's slices would be counted as ours.
                if self._attempt.is_writing and not isinstance(error, BusyError):
                    self._count_unreported()
            outcome, plan = ended_badly(self._attempt, error), self._attempt.plan
            self._write(outcome, error=error)
            self._is_over = True
            if isinstance(error, GateError) and plan:
                self._night_files.write_metrics(outcome, plan, None, held=True)
                self._night_files.write_page()

    def _count_unreported(self) -> None:
        """Count slices that Ray had not yet passed to the driver, and look at what is published now."""
        attempt, plan = self._attempt, self._attempt.plan
        if plan is None:
            return
        known = {(receipt.shard, receipt.first_row) for receipt in attempt.staged}
        output = read_output(plan.settings.output.path)
        self._published = self._published_in(output)
        staged = staged_receipts(output, plan.version)
        fresh = tuple(receipt for receipt in staged if (receipt.shard, receipt.first_row) not in known)
        attempt.receipts += finished_slices(output, plan.shards, fresh).finished

    def _published_in(self, output: OutputState) -> PublishedResult | None:
        """Return what an output shows its readers, with what earlier records and the manifest tell about it."""
        success = output.success
        if success is None:
            return None
        for known in (self._published, self._earlier.published if self._earlier else None):
            if known and known.manifest_sha256 == success.manifest_sha256:
                return known
        model = output.manifest.model if output.manifest and output.is_complete else {}
        return PublishedResult.of(
            success,
            model=model.get("name"),
            commit=model.get("commit"),
            accepted=output.manifest.accepted if output.manifest and output.is_complete else None,
            model_sha256=model.get("sha256"),
        )

    def _published_by(self, plan: Plan) -> PublishedResult | None:
        """Return what readers see after a run of a plan that ended well."""
        with translated_errors(self.output.url, "recording the run"):
            success = read_success(self._folder)
        if success is None:
            return None
        before = self._published
        is_same = before is not None and before.manifest_sha256 == success.manifest_sha256
        return PublishedResult.of(
            success,
            finished_at=before.finished_at if before and is_same else _now(),
            seconds=before.seconds if before and is_same else self._attempt.seconds,
            model=plan.checkpoint.name,
            commit=plan.checkpoint.commit,
            model_sha256=plan.checkpoint.fingerprint,
            accepted=plan.published.accepted if plan.complete and plan.published else self._attempt.accepted,
            made_from=self._provenance(),
        )

    def _provenance(self) -> Provenance:
        """Return what this run was given, as far as it is known by now."""
        found = self._attempt.discovery
        if found and self._made_from.input_stamp is None:
            stamp = input_stamp(self.settings.input.paths, found.stamps)
            self._made_from = self._made_from.model_copy(update={"input_stamp": stamp, "shards": len(found.stamps)})
        return self._made_from

    def _accepted(self) -> dict[str, Any] | None:
        if self._attempt.accept is None:
            return None
        found = self._attempt.accepted
        return {"why": self._attempt.accept, "gates": found.gates if found else {}}

    def _write(self, outcome: Outcome, *, error: BaseException | None = None) -> None:
        if not self._is_own:
            return
        self._beat += 1
        is_over, now = outcome.status != "RUNNING", _now()
        record = {
            **told_of(outcome),
            "attempt": self._number,
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "process": identity(os.getpid()),
            "started_at": self._started.isoformat(timespec="seconds"),
            "updated_at": now,
            "beat": self._beat,
            "phase": self._attempt.phase,
            "exit_code": outcome.exit_code if is_over else None,
            "gate": ", ".join(error.gates) or None if isinstance(error, GateError) else None,
            "accepted": self._accepted(),
            "backfill": self._attempt.backfill,
            "made_from": self._provenance().model_dump(mode="json"),
            "published": self._published.model_dump(mode="json") if self._published else None,
        }
        with translated_errors(self.output.url, "recording the run"):
            (self._folder / RUNS / self._name).write(to_json(record))


@contextlib.contextmanager
def recorded(attempt: Attempt, settings: Settings, date: dt.date | None) -> Iterator[Recording]:
    """Leave a record of what happens in the block: at its start, every few seconds, and however it ends.

    Nothing is recorded where the run may not write: in the input, or in a folder with files of others.

    Args:
        attempt: the run.
        settings: as read, with `{date}` still in its paths.
        date: the day to fill in, if the paths have a place for it.

    Raises:
        NightscoreError: the output is not one to write to, or the storage does not list it.
    """
    attempt.date = date
    recording = Recording(attempt, *open_output(settings.on_date(date)), settings.output.path)
    is_over = threading.Event()

    def beat() -> None:
        written, planned = time.monotonic(), None
        while not is_over.wait(1.0):
            # A record of a run that is killed shall name the version.
            if attempt.plan is not planned or time.monotonic() - written >= SECONDS_BETWEEN_BEATS:
                written, planned = time.monotonic(), attempt.plan
                recording.update()

    thread = threading.Thread(target=beat, name="record", daemon=True)
    attempt.fail = recording.fail
    try:
        recording.begin()
        thread.start()
        yield recording
    except BaseException as error:
        recording.fail(error)
        raise
    finally:
        is_over.set()


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
