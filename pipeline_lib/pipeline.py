"""The whole job, in the order in which it happens: discover, plan, score, publish, report.

Scoring takes each slice through the steps of `execution.steps`: read, tokenize, classify, write. An executor runs
them in Ray's actors, or in this process.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace

from pipeline_lib.execution.executor import Executor, Work
from pipeline_lib.inputs.shard_inspection import SeenInput
from pipeline_lib.planning.discovery import discover
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.planner import refresh_plan
from pipeline_lib.publishing.drift_gate import compare_nights
from pipeline_lib.publishing.files.joining import Hooks
from pipeline_lib.publishing.gates import check_min_rows, words_of
from pipeline_lib.publishing.night_statistics import NightStatistics, night_statistics
from pipeline_lib.publishing.publisher import finish_cleanup, prepare_output, publish
from pipeline_lib.reporting.attempt import Attempt
from pipeline_lib.reporting.outcome import Outcome
from pipeline_lib.reporting.records.attempts import Attempts
from pipeline_lib.reporting.records.recording import recorded
from pipeline_lib.reporting.terminal.night_progress import NightProgress
from pipeline_lib.reporting.terminal.progress import Progress
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.lease import leased, sighting
from pipeline_lib.storage.records import Receipt


@dataclass(frozen=True)
class Job:
    """What a command asks for, with one model."""

    settings: Settings
    """As read, with `{date}` still in its paths."""
    replace: bool = False
    """Whether what is published may be replaced by another version, or without shards that are gone."""


def run(  # noqa: PLR0913 - what a user may ask of a run
    settings: Settings,
    date: dt.date | None,
    progress: Progress,
    executor: Executor,
    *,
    replace: bool = False,
    accept: str | None = None,
) -> Outcome:
    """Run one night: score the slices that are not scored yet, publish all of them, and report.

    Args:
        settings: as read, with `{date}` still in its paths.
        date: the day to fill in, if the paths have a place for it.
        progress: prints what happens.
        executor: where the steps run.
        replace: see `Job`.
        accept: why the result is published even if a gate stops it.

    Raises:
        NightscoreError: of the kind whose exit code tells a scheduler what to do; see `errors`.
    """
    attempt = progress.attempt
    attempt.date, attempt.accept = date, words_of(accept)
    run_together({attempt.model: Job(settings, replace)}, Attempts([attempt]), progress, executor)
    return attempt.result()


def run_together(jobs: Mapping[str, Job], attempts: Attempts, progress: Progress, executor: Executor) -> None:
    """Run several nights, with several models: each is loaded once, and the rows of a night are read once for all.

    An error ends the attempt that it belongs to, at one night with one model.

    Args:
        jobs: what to do in each night, by the names of the models; they have the same input.
        attempts: in the order in which they are scored; how each ends is noted there.
        progress: prints what happens.
        executor: where the steps run.
    """
    seen: defaultdict[dt.date | None, SeenInput] = defaultdict(SeenInput)
    attempts.start(lambda each: _night(each, jobs[each.model], NightProgress(progress, each), seen[each.date]))
    with progress.heartbeat(), attempts.ended_by_errors():
        attempts.go_on()
        discovered = {attempt: attempt.discovery for attempt in attempts.left if attempt.discovery}
        if not discovered:
            return
        with executor.planned(list(discovered.values()), progress) as plans, attempts.ended_by_errors():
            for attempt, plan in zip(discovered, plans, strict=True):
                attempts.go_on_with(attempt, plan)
            _score(attempts, progress, executor)
            attempts.go_on()


def _night(attempt: Attempt, job: Job, progress: NightProgress, seen: SeenInput) -> Generator[None, Plan, Outcome]:
    """Take one night from its input to its report; at each `yield` it waits for what is done for all together."""
    with recorded(attempt, job.settings, attempt.date) as record:
        progress.discovering()
        discovery = discover(
            record.settings, date=attempt.date, replace=job.replace, output=record.output, seen=seen
        )
        attempt.discovery, sighted = discovery, sighting(record.output.url, record.output.files)
        attempt.plan = first_plan = yield  # until the executor has made the plan
        progress.planned(first_plan)
        check_min_rows(first_plan, attempt.accept)
        if first_plan.complete:
            finish_cleanup(first_plan)
            return record.end(first_plan)
        with leased(first_plan.settings.output.path, progress.note, sighted) as lease:
            attempt.plan = plan = refresh_plan(first_plan, discovery)
            if not plan.complete:  # else another run published it before this one got the lease
                prepare_output(plan)
                yield  # until the executor has scored the slices
                progress.publishing()
                attempt.night = night = _judged(attempt, plan, job, progress)
                hooks = Hooks(lease.confirm, progress.joined)
                progress.published(publish(plan, attempt.staged, hooks, night, attempt.accept))
        return record.end(plan, attempt.work)


def _judged(attempt: Attempt, plan: Plan, job: Job, progress: NightProgress) -> NightStatistics:
    """Return what is counted of a night whose slices are scored, compared with earlier nights of the output."""
    night = night_statistics(plan, attempt.staged)
    drift = compare_nights(night.rows, plan, job.settings.output.path, attempt.date, progress.note)
    progress.judged(night := replace(night, drift=drift), plan)
    return night


def _score(attempts: Attempts, progress: Progress, executor: Executor) -> None:
    """Take the slices that are left through the steps; a night that is scored is published while others are."""
    nights, scored = attempts.left, list[Attempt]()
    for first in (each for each in nights if each.date == nights[0].date):
        first.start_scoring(is_first=True)
    with closing(executor.results([each.plan for each in nights if each.plan], progress)) as results:
        for number, result in results:
            # Not before there is another result: the last night is published when the workers are gone.
            while scored:
                attempts.go_on(scored.pop(0))
            attempt = nights[number]
            if isinstance(result, Receipt):
                attempt.start_scoring()
                attempt.receipts.append(result)
            elif isinstance(result, Work):
                attempt.work = result
                scored.append(attempt)
                for following in nights[number + 1 : number + 2]:
                    following.start_scoring()
            else:
                attempts.fail(attempt, result)


def plan_only(
    job: Job, date: dt.date | None, progress: Progress, executor: Executor, seen: SeenInput | None = None
) -> Plan:
    """Return the plan that a run would have; nothing is written, and Ray does not start.

    Args:
        job: what a run would do.
        date: as for `run`.
        progress: prints what happens.
        executor: where the steps would run.
        seen: what is known of the input, which jobs of other models have too.

    Raises:
        NightscoreError: as `run` would.
    """
    discovery = discover(job.settings.on_date(date), date=date, replace=job.replace, seen=seen)
    return executor.plan(discovery, progress)
