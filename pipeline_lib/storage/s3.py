"""What the job asks of S3 beyond fsspec: listings, plain copies, removal by the thousand, and its error codes."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from fsspec.asyn import sync

_KEYS_A_REQUEST = 1000
# A larger object can't be copied by one request.
_LARGEST_COPY = 5 << 30

TIMEOUTS: dict[str, Any] = {
    "connect_timeout": 10,
    "read_timeout": 15,
    "retries": {"mode": "standard", "total_max_attempts": 3},
}
"""How long botocore waits, in seconds: an endpoint that accepts and never answers is given up within a minute.

They count from one sign of life to the next, so that a slow server and a large upload may take their time.
"""


def is_s3(fs: Any) -> bool:
    """Tell whether a file system is s3fs, whose store has ETags and conditional writes."""
    return "s3" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def leave_retries_to_botocore(fs: Any) -> None:
    """Keep s3fs from trying again what botocore has tried three times: the waits would multiply."""
    fs.retries = 1


def forget_credentials() -> None:
    """Have credentials read anew, which whoever made them may have renewed meanwhile."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


def error_code(error: BaseException | None) -> str:
    """Return S3's own code for an error, such as `ExpiredToken`, or an empty string where there is none."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
        error = error.__cause__
    return ""


def files_below(fs: Any, folder: str) -> Iterator[tuple[str, int, str]]:
    """Yield (path below the folder, size, ETag) of every object, a thousand with each request.

    Raises:
        FileNotFoundError: there is no such bucket; a folder that is not there has no objects.
    """
    bucket, key, _ = fs.split_path(folder)
    prefix = f"{key.rstrip('/')}/" if key else ""
    more: dict[str, str] = {}
    while True:
        page = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, **more)
        for entry in page.get("Contents", ()):
            yield entry["Key"].removeprefix(prefix), int(entry["Size"]), str(entry.get("ETag", "")).strip('"')
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def ask(fs: Any, path: str) -> None:
    """Ask the bucket of a path for one key, for the sake of an answer; that it is not there is one, or not allowed.

    Raises:
        Exception: the store's library got no answer, or is not set up for this store.
    """
    with contextlib.suppress(FileNotFoundError, PermissionError):
        fs.call_s3("list_objects_v2", Bucket=fs.split_path(path)[0], MaxKeys=1)


def read(fs: Any, path: str, start: int = 0) -> tuple[bytes, str]:
    """Return an object's bytes, or those from `start` on, and its ETag, by one request: they belong together.

    Raises:
        FileNotFoundError: it is not there.
    """
    bucket, key, _ = fs.split_path(path)
    found = fs.call_s3("get_object", Bucket=bucket, Key=key, **({"Range": f"bytes={start}-"} if start else {}))
    try:
        return bytes(sync(fs.loop, found["Body"].read)), str(found["ETag"])
    finally:
        found["Body"].close()


def copy(fs: Any, source: str, target: str, size: int) -> None:
    """Copy an object within its store, by one request where its size allows it."""
    if size > _LARGEST_COPY:
        fs.cp_file(source, target)
        return
    (bucket, key, _), (to_bucket, to_key, _) = fs.split_path(source), fs.split_path(target)
    fs.call_s3("copy_object", CopySource={"Bucket": bucket, "Key": key}, Bucket=to_bucket, Key=to_key)


def remove(fs: Any, paths: Sequence[str]) -> None:
    """Remove objects, a thousand with each request; one that is not there is no error.

    Raises:
        OSError: the store kept one.
    """
    for start in range(0, len(paths), _KEYS_A_REQUEST):
        some = [fs.split_path(path) for path in paths[start : start + _KEYS_A_REQUEST]]
        keys = {"Objects": [{"Key": key} for _, key, _ in some], "Quiet": True}
        kept = fs.call_s3("delete_objects", Bucket=some[0][0], Delete=keys).get("Errors", ())
        for fault in kept:
            raise OSError(f"{fault.get('Key')!r} was not removed: {fault.get('Code')}")
