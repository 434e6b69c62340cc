"""Outputs of every bad kind, and the error that each gets."""

import os

from pipeline_lib.settings.settings_file import parse_settings
from pipeline_lib.storage.lease import leased
from tests.bad_inputs.bad_home import GOOD, Home, Kind, Spoil, setting
from tests.conftest import run_without_ray, write_parquet
from tests.helpers.command_line import offline


def _strangers(home: Home) -> list[str]:
    write_parquet(home.folder / "out" / "theirs.parquet", {"x": [1]})
    return []


def _publish(home: Home) -> None:
    with offline():
        run_without_ray(parse_settings(home.settings({})))


def _other_version(home: Home) -> list[str]:
    _publish(home)
    return list(setting("output.logits=true")(home))


def _lost_shard(home: Home) -> list[str]:
    home.add("late.parquet", GOOD)
    _publish(home)
    (home.folder / "in" / "late.parquet").unlink()
    return []


def _linked(name: str) -> Spoil:
    def spoil(home: Home) -> list[str]:
        (home.folder / "out").mkdir()
        (home.folder / "elsewhere").mkdir()
        (home.folder / "out" / name).symlink_to(home.folder / "elsewhere")
        return []

    return spoil


def _piped(name: str) -> Spoil:
    def spoil(home: Home) -> list[str]:
        (home.folder / "out").mkdir()
        os.mkfifo(home.folder / "out" / name)
        return []

    return spoil


def _held(home: Home) -> list[str]:
    home.until_done.enter_context(leased(str(home.folder / "out")))
    return []


OUTPUTS = (
    Kind(
        "a folder with somebody else's files",
        _strangers,
        r"out' already holds 'theirs\.parquet', which this job did not write",
    ),
    Kind(
        "the folder of the input",
        setting("output.path=HOME/in"),
        r"in' already holds 'good\.parquet', which this job did not write|output\.path",
    ),
    Kind(
        "a folder that the input will find",
        setting("output.path=HOME/in/out"),
        r"output\.path: '.*/in/out' lies in input\.path",
    ),
    Kind(
        "a pattern that will find the output",
        setting("input.path=HOME/**/*.parquet"),
        r"output\.path: '.*/out' lies in input\.path",
    ),
    Kind(
        "another version published there", _other_version, r"out' holds version \w+, this would be \w+: .*--replace"
    ),
    Kind(
        "rows of a shard that is gone",
        _lost_shard,
        r"the output holds rows of '.*late\.parquet', which the input no longer has; .*--replace",
    ),
    Kind("a file", setting("output.path=HOME/job.yaml"), r"job\.yaml': "),
    Kind("a folder below a file", setting("output.path=HOME/job.yaml/out"), r"job\.yaml/out': "),
    Kind("a folder that can't be made", setting("output.path=/proc/out"), r"'/proc/out': "),
    Kind(
        "a URL of an unknown kind", setting("output.path=gopher://x"), r"'gopher://x': can't open this kind of URL"
    ),
    Kind(
        "a folder whose staging leads elsewhere",
        _linked("_staging"),
        r"out': '_staging' in it is a link or a device, which this job did not make",
    ),
    Kind(
        "a folder whose rejects lead elsewhere",
        _linked("_rejects"),
        r"out': '_rejects' in it is a link or a device, which this job did not make",
    ),
    Kind("a pipe for a mark", _piped("_SUCCESS"), r"_SUCCESS' is not a regular file"),
    Kind("a pipe for a manifest", _piped("_manifest.json"), r"_manifest\.json' is not a regular file"),
    Kind("a pipe for a lease", _piped("_lease.json"), r"'_lease\.json' in it is a link or a device"),
    Kind(
        "another run at work there",
        _held,
        r"out': run \w+ \(process \d+ on .*\) is at work on this output",
        exit_code=4,
    ),
)
