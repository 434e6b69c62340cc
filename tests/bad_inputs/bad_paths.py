"""Input paths that lead nowhere or to no shard, and the error that each gets."""

import os

from tests.bad_inputs.bad_home import GOOD, Home, Kind, arguments, setting, shard


def _dangling(home: Home) -> list[str]:
    (home.folder / "in" / "bad.parquet").symlink_to(home.folder / "gone.parquet")
    return []


def _pipe(home: Home) -> list[str]:
    os.mkfifo(home.folder / "in" / "bad.csv")
    return []


def _empty_folder(home: Home) -> list[str]:
    (home.folder / "empty").mkdir()
    return ["--set", f"input.path={home.folder}/empty"]


PATHS = (
    Kind("a dangling link", _dangling, r"bad\.parquet'.*(No such file|not there|no such file)"),
    Kind("a folder without shards", _empty_folder, r"input\.path: the folder '.*/empty' holds no shard"),
    Kind(
        "a pattern that no file matches",
        setting("input.path=HOME/in/*.csv"),
        r"input\.path: no file matches '.*/in/\*\.csv'",
    ),
    Kind(
        "a file that is not there",
        setting("input.path=HOME/in/good.parqet"),
        r"input\.path: no such file or folder: '.*good\.parqet'; did you mean '.*good\.parquet'\?",
    ),
    Kind(
        "one of two paths that is not there",
        setting("input.path=[HOME/in, HOME/inn]"),
        r"input\.path: no such file or folder: '.*/inn'; did you mean '.*/in'\?",
    ),
    Kind(
        "a file that is no shard",
        setting("input.path=HOME/job.yaml"),
        r"input\.path: '.*job\.yaml' is not one of '\.parquet'",
    ),
    Kind(
        "a URL of an unknown kind",
        setting("input.path=s33://bucket/in"),
        r"'s33://bucket/in': can't open this kind of URL: .*did you mean 's3'\?",
    ),
    Kind(
        "a URL with a password",
        setting("input.path=s3://me:zqsecret@bucket/in"),
        r"input\.path: 's3://\.\.\.@bucket/in' has a password",
    ),
    Kind(
        "a chain of URLs with a password",
        setting("input.path=[HOME/in, 'simplecache::http://me:zqsecret@host/in']"),
        r"input\.path: 'simplecache::http://\.\.\.@host/in' has a password",
    ),
    Kind(
        "a URL that is signed",
        setting("input.path=https://host/in?X-Amz-Signature=zqsecret"),
        r"input\.path: 'https://host/in\?X-Amz-Signature=\.\.\.' has a password, token or signature in it",
    ),
    Kind(
        "JSON lines beside a shard",
        shard("more.jsonl", b"{}\n"),
        r"input\.path: .*in/more\.jsonl', which look like",
    ),
    Kind(
        "CSV packed by bzip2", shard("more.csv.bz2", b"BZh"), r"input\.path: .*in/more\.csv\.bz2', which look like"
    ),
    Kind("a file without an ending", shard("part-00000", b"x"), r"input\.path: .*in/part-00000', which look like"),
    Kind(
        "a Delta table",
        shard("_delta_log/00000000000000000000.json", b"{}"),
        r"input\.path: '.*/in' holds files of a Delta table \('.*/in/_delta_log'\).*export the table",
    ),
    Kind(
        "an Iceberg table",
        shard("metadata/v1.metadata.json", b"{}"),
        r"input\.path: '.*/in' holds files of an Iceberg table \('.*metadata/v1\.metadata\.json'\)",
    ),
    Kind(
        "a named pipe among the shards", _pipe, r"input\.path: '.*bad\.csv' is a named pipe; shards must be regular"
    ),
    Kind(
        "a named pipe for a shard",
        lambda home: [*_pipe(home), "--set", f"input.path={home.folder}/in/bad.csv"],
        r"input\.path: '.*bad\.csv' is a named pipe; shards must be regular",
    ),
    Kind(
        "a file of zeros without end",
        setting("input.path=/dev/zero"),
        r"input\.path: '/dev/zero' is a device; shards must be regular",
    ),
    Kind(
        "a glob with two stars in a name", setting("input.path=HOME/**.parquet"), r"'\*\*' stands for whole folders"
    ),
    Kind(
        "a glob of all buckets",
        setting("input.path='s3://*/in.parquet'"),
        r"input\.path: 's3://\*/in\.parquet' does not spell out the bucket",
    ),
    Kind(
        "a file in an archive",
        setting("input.path='zip://a.csv::HOME/in.zip'"),
        r"files inside of archives can't be read; unpack them",
    ),
    Kind(
        "a key with two colons that is not there",
        setting("input.path='HOME/in/a::b.csv'"),
        r"input\.path: no such file or folder: '.*/in/a::b\.csv'",
    ),
    Kind(
        "a folder's column that the shard has too",
        lambda home: [
            *shard("text=x/bad.parquet", GOOD)(home),
            *setting("input.partition_columns=all")(home),
        ],
        r"input\.partition_columns: .*has a column 'text' of its own beside the folder 'text=\.\.\.'",
    ),
    Kind(
        "a folder's column that is not there",
        setting("input.partition_columns=[ds]"),
        r"input\.partition_columns: '.*good\.parquet' has no folder 'ds=\.\.\.'",
    ),
    Kind(
        "a day whose folder is not there yet",
        arguments("--date", "2026-11-22", "--set", "input.path=HOME/in/ds={date}"),
        r"input\.path: no such file or folder: '.*/in/ds=2026-11-22'",
        exit_code=5,
    ),
    Kind(
        "a day whose pattern no file matches yet",
        arguments("--date", "2026-11-22", "--set", "input.path=HOME/in/ds={date}/*.parquet"),
        r"input\.path: no file matches '.*/in/ds=2026-11-22/\*\.parquet'",
        exit_code=5,
    ),
)
