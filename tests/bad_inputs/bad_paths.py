"""Input paths that lead nowhere or to no shard, and the error that each gets."""

import os

from tests.bad_inputs.job_folder import GOOD, Case, JobFolder, arguments, setting, shard


def _dangling(job: JobFolder) -> list[str]:
    (job.folder / "in" / "bad.parquet").symlink_to(job.folder / "gone.parquet")
    return []


def _pipe(job: JobFolder) -> list[str]:
    os.mkfifo(job.folder / "in" / "bad.csv")
    return []


def _empty_folder(job: JobFolder) -> list[str]:
    (job.folder / "empty").mkdir()
    return ["--set", f"input.path={job.folder}/empty"]


PATHS = (
    Case("a dangling link", _dangling, r"bad\.parquet'.*(No such file|not there|no such file)"),
    Case("a folder without shards", _empty_folder, r"input\.path: the folder '.*/empty' holds no shard"),
    Case(
        "a pattern that no file matches",
        setting("input.path=JOB/in/*.csv"),
        r"input\.path: no file matches '.*/in/\*\.csv'",
    ),
    Case(
        "a file that is not there",
        setting("input.path=JOB/in/good.parqet"),
        r"input\.path: no such file or folder: '.*good\.parqet'; did you mean '.*good\.parquet'\?",
    ),
    Case(
        "one of two paths that is not there",
        setting("input.path=[JOB/in, JOB/inn]"),
        r"input\.path: no such file or folder: '.*/inn'; did you mean '.*/in'\?",
    ),
    Case(
        "a file that is no shard",
        setting("input.path=JOB/job.yaml"),
        r"input\.path: '.*job\.yaml' is not one of \.parquet, ",
    ),
    Case(
        "a URL of an unknown kind",
        setting("input.path=s33://bucket/in"),
        r"'s33://bucket/in': can't open this kind of URL: .*did you mean 's3'\?",
    ),
    Case(
        "a URL with a password",
        setting("input.path=s3://me:zqsecret@bucket/in"),
        r"input\.path: 's3://\.\.\.@bucket/in' has a password",
    ),
    Case(
        "a chain of URLs with a password",
        setting("input.path=[JOB/in, 'simplecache::http://me:zqsecret@host/in']"),
        r"input\.path: 'simplecache::http://\.\.\.@host/in' has a password",
    ),
    Case(
        "a URL that is signed",
        setting("input.path=https://host/in?X-Amz-Signature=zqsecret"),
        r"input\.path: 'https://host/in\?X-Amz-Signature=\.\.\.' has a password, token or signature in it",
    ),
    Case(
        "JSON lines beside a shard",
        shard("more.json", b"{}\n"),
        r"input\.path: .*in/more\.json', which look like",
    ),
    Case(
        "CSV packed by xz", shard("more.csv.xz", b"\xfd7zXZ"), r"input\.path: .*in/more\.csv\.xz', which look like"
    ),
    Case("a file without an ending", shard("part-00000", b"x"), r"input\.path: .*in/part-00000', which look like"),
    Case(
        "a Delta table",
        shard("_delta_log/00000000000000000000.json", b"{}"),
        r"input\.path: '.*/in' holds files of a Delta table \('.*/in/_delta_log'\).*export the table",
    ),
    Case(
        "an Iceberg table",
        shard("metadata/v1.metadata.json", b"{}"),
        r"input\.path: '.*/in' holds files of an Iceberg table \('.*metadata/v1\.metadata\.json'\)",
    ),
    Case(
        "a named pipe among the shards", _pipe, r"input\.path: '.*bad\.csv' is a named pipe; shards must be regular"
    ),
    Case(
        "a named pipe for a shard",
        lambda job: [*_pipe(job), "--set", f"input.path={job.folder}/in/bad.csv"],
        r"input\.path: '.*bad\.csv' is a named pipe; shards must be regular",
    ),
    Case(
        "a file of zeros without end",
        setting("input.path=/dev/zero"),
        r"input\.path: '/dev/zero' is a device; shards must be regular",
    ),
    Case(
        "a glob with two stars in a name", setting("input.path=JOB/**.parquet"), r"'\*\*' stands for whole folders"
    ),
    Case(
        "a glob of all buckets",
        setting("input.path='s3://*/in.parquet'"),
        r"input\.path: 's3://\*/in\.parquet' does not spell out the bucket",
    ),
    Case(
        "a file in an archive",
        setting("input.path='zip://a.csv::JOB/in.zip'"),
        r"files inside of archives can't be read; unpack them",
    ),
    Case(
        "a key with two colons that is not there",
        setting("input.path='JOB/in/a::b.csv'"),
        r"input\.path: no such file or folder: '.*/in/a::b\.csv'",
    ),
    Case(
        "a folder's column that the shard has too",
        lambda job: [
            *shard("text=x/bad.parquet", GOOD)(job),
            *setting("input.partition_columns=all")(job),
        ],
        r"input\.partition_columns: .*has a column 'text' of its own beside the folder 'text=\.\.\.'",
    ),
    Case(
        "a folder's column that is not there",
        setting("input.partition_columns=[ds]"),
        r"input\.partition_columns: '.*good\.parquet' has no folder 'ds=\.\.\.'",
    ),
    Case(
        "a day whose folder is not there yet",
        arguments("--date", "2026-11-22", "--set", "input.path=JOB/in/ds={date}"),
        r"input\.path: no such file or folder: '.*/in/ds=2026-11-22'",
        exit_code=5,
    ),
    Case(
        "a day whose pattern no file matches yet",
        arguments("--date", "2026-11-22", "--set", "input.path=JOB/in/ds={date}/*.parquet"),
        r"input\.path: no file matches '.*/in/ds=2026-11-22/\*\.parquet'",
        exit_code=5,
    ),
)
