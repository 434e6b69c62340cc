"""Outputs of every bad kind, and the error that each gets."""

import os

from pipeline_lib.settings.settings_file import parse_settings
from pipeline_lib.storage.lease import leased
from tests.bad_inputs.job_folder import GOOD, Case, Change, JobFolder, setting
from tests.conftest import run_without_ray, write_parquet
from tests.helpers.command_line import offline


def _foreign_files(job: JobFolder) -> list[str]:
    write_parquet(job.folder / "out" / "theirs.parquet", {"x": [1]})
    return []


def _publish(job: JobFolder) -> None:
    with offline():
        run_without_ray(parse_settings(job.settings({})))


def _other_version(job: JobFolder) -> list[str]:
    _publish(job)
    return list(setting("output.logits=true")(job))


def _lost_shard(job: JobFolder) -> list[str]:
    job.add("late.parquet", GOOD)
    _publish(job)
    (job.folder / "in" / "late.parquet").unlink()
    return []


def _linked(name: str) -> Change:
    def apply(job: JobFolder) -> list[str]:
        (job.folder / "out").mkdir()
        (job.folder / "elsewhere").mkdir()
        (job.folder / "out" / name).symlink_to(job.folder / "elsewhere")
        return []

    return apply


def _piped(name: str) -> Change:
    def apply(job: JobFolder) -> list[str]:
        (job.folder / "out").mkdir()
        os.mkfifo(job.folder / "out" / name)
        return []

    return apply


def _held(job: JobFolder) -> list[str]:
    job.until_done.enter_context(leased(str(job.folder / "out")))
    return []


OUTPUTS = (
    Case(
        "a folder with somebody else's files",
        _foreign_files,
        r"out' already holds 'theirs\.parquet', which this job did not write",
    ),
    Case(
        "the folder of the input",
        setting("output.path=JOB/in"),
        r"in' already holds 'good\.parquet', which this job did not write|output\.path",
    ),
    Case(
        "a folder that the input will find",
        setting("output.path=JOB/in/out"),
        r"output\.path: '.*/in/out' lies in input\.path",
    ),
    Case(
        "a pattern that will find the output",
        setting("input.path=JOB/**/*.parquet"),
        r"output\.path: '.*/out' lies in input\.path",
    ),
    Case(
        "another version published there", _other_version, r"out' holds version \w+, this would be \w+: .*--replace"
    ),
    Case(
        "rows of a shard that is gone",
        _lost_shard,
        r"the output holds rows of '.*late\.parquet', which the input no longer has; .*--replace",
    ),
    Case("a file", setting("output.path=JOB/job.yaml"), r"job\.yaml': "),
    Case("a folder below a file", setting("output.path=JOB/job.yaml/out"), r"job\.yaml/out': "),
    Case("a folder that can't be made", setting("output.path=/proc/out"), r"'/proc/out': "),
    Case(
        "a URL of an unknown kind", setting("output.path=gopher://x"), r"'gopher://x': can't open this kind of URL"
    ),
    Case(
        "a folder whose staging leads elsewhere",
        _linked("_staging"),
        r"out': '_staging' in it is a link or a device, which this job did not make",
    ),
    Case(
        "a folder whose rejects lead elsewhere",
        _linked("_rejects"),
        r"out': '_rejects' in it is a link or a device, which this job did not make",
    ),
    Case("a pipe for a mark", _piped("_SUCCESS"), r"_SUCCESS' is not a regular file"),
    Case("a pipe for a manifest", _piped("_manifest.json"), r"_manifest\.json' is not a regular file"),
    Case("a pipe for a lease", _piped("_lease.json"), r"'_lease\.json' in it is a link or a device"),
    Case(
        "another run at work there",
        _held,
        r"out': run \w+ \(process \d+ on .*\) is at work on this output",
        exit_code=4,
    ),
)
