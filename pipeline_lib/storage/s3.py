"""What the job asks of S3 beyond fsspec: listings, plain copies, removal by the thousand, and its error codes."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Any, Self

from fsspec.asyn import sync

from pipeline_lib.storage.location import Files, FileStamp, Location

_KEYS_A_REQUEST = 1000
# A larger object can't be copied by one request.
_LARGEST_COPY = 5 << 30
_LARGEST_PUT = 5 << 30
_SECONDS_BEFORE_READING_AGAIN = (0.1, 0.5)
_TOO_SHORT_CODES = {"InvalidRange", "416"}

CLIENT_CONFIG: dict[str, Any] = {
    "connect_timeout": 10,
    "read_timeout": 15,
    "retries": {"mode": "standard", "total_max_attempts": 3},
    "response_checksum_validation": "when_required",
}
"""How long botocore waits, in seconds: an endpoint that accepts and never answers is given up within a minute.

A timeout starts again whenever bytes arrive, so that a slow server and a large upload may take their time.
Some servers, as rclone's, answer the read of a range with the whole object's checksum; botocore would refuse it.
"""


class S3Location(Location):
    """An object or a folder of objects in a bucket of S3, or of a store with the same interface."""

    def call(self, method: str, **arguments: Any) -> Any:
        """Send a request about this object."""
        bucket, key, _ = self.fs.split_path(self.path)
        return self.fs.call_s3(method, Bucket=bucket, Key=key, **arguments)

    def stamp_now(self) -> FileStamp | None:
        """Return the size and the ETag of the object by one request, or None if there is no object."""
        try:
            answer = self.call("head_object")
        except FileNotFoundError:
            return None
        etag = str(answer.get("ETag", "")).strip('"')
        return FileStamp(int(answer["ContentLength"]), etag, etag=bool(etag))

    def read_with_etag(self, start: int = 0) -> tuple[bytes, str]:
        """Return the bytes from `start` on and the ETag in quotes, by one request, so that they belong together.

        botocore repeats a request that fails, but not the reading of a body that ends too early.

        Raises:
            FileNotFoundError: there is no such object.
        """
        for seconds in _SECONDS_BEFORE_READING_AGAIN:
            answer = self._object(start)
            try:
                return self._body(answer)
            except OSError:
                raise
            except Exception:  # noqa: BLE001 - aiohttp, aiobotocore and botocore have each their own
                time.sleep(seconds)
        return self._body(self._object(start))

    def read_end(self, stamp: FileStamp, most: int) -> bytes:
        """Return the last bytes of the object by one request, whose ETag shows whether it is in the given state."""
        try:
            content, etag = self.read_with_etag(max(stamp.size - most, 0))
        except OSError as error:
            if error_code(error) not in _TOO_SHORT_CODES:
                raise
            raise FileNotFoundError(f"{self.path!r} is shorter than {stamp.size:,} bytes") from error
        if stamp.etag and etag.strip('"') != stamp.tag:
            raise FileNotFoundError(f"{self.path!r} is another object by now")
        return content

    def copy_to(self, target: Self, size: int = 0) -> None:
        """Copy the object within its store, by one request where its size allows it."""
        if size > _LARGEST_COPY:
            super().copy_to(target)
        else:
            bucket, key, _ = self.fs.split_path(self.path)
            target.call("copy_object", CopySource={"Bucket": bucket, "Key": key})

    def remove_tree(self, known: Iterable[str] = ()) -> None:
        """Remove all objects below the folder, a thousand with each request.

        Args:
            known: paths below the folder that are removed even if the listing lacks them.

        Raises:
            OSError: the store kept one.
        """
        bucket, key, _ = self.fs.split_path(self.path)
        names = sorted({*known, *(name for name, _, _ in self._objects())})
        keys = [f"{key}/{name}" if key else name for name in names]
        for start in range(0, len(keys), _KEYS_A_REQUEST):
            batch = [{"Key": key} for key in keys[start : start + _KEYS_A_REQUEST]]
            answer = self.fs.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
            for fault in answer.get("Errors", ()):
                raise OSError(f"{fault.get('Key')!r} was not removed: {fault.get('Code')}")

    def files(self) -> Files:
        """Return every object below the folder, a thousand with each request.

        Raises:
            FileNotFoundError: there is no such bucket; a folder that does not exist has no objects.
        """
        return {
            name: FileStamp(size, etag, etag=bool(etag))
            for name, size, etag in self._objects()
            if name and not name.endswith("/")
        }

    def entries_from(self, prefix: str) -> list[dict[str, Any]]:
        """Return what s3fs would tell about every object whose path begins with a prefix, a thousand a request.

        Raises:
            FileNotFoundError: there is no such bucket.
        """
        bucket, key, _ = self.fs.split_path(prefix)
        return [
            {"name": f"{bucket}/{name}", "size": size, "type": "file", "ETag": etag}
            for name, size, etag in self._objects_from(bucket, key)
        ]

    def ask_bucket(self) -> None:
        """Ask the bucket for one key to see whether the store answers; "missing" and "not allowed" are answers.

        Raises:
            Exception: the store's library got no answer, or is not configured for this store.
        """
        with contextlib.suppress(FileNotFoundError, PermissionError):
            self.fs.call_s3("list_objects_v2", Bucket=self.fs.split_path(self.path)[0], MaxKeys=1)

    def _get(self) -> bytes:
        return self.read_with_etag()[0]

    def _put(self, content: bytes) -> str | None:
        """Write the object by one request: a killed process leaves no open upload of several parts behind."""
        if len(content) > _LARGEST_PUT:
            return super()._put(content)
        # Else a browser would save a page instead of showing it.
        kind = {"ContentType": "text/html; charset=utf-8"} if self.path.endswith(".html") else {}
        return str(self.call("put_object", Body=content, **kind).get("ETag", "")).strip('"') or None

    def _object(self, start: int) -> dict[str, Any]:
        answer: dict[str, Any] = self.call("get_object", **({"Range": f"bytes={start}-"} if start else {}))
        return answer

    def _body(self, answer: dict[str, Any]) -> tuple[bytes, str]:
        try:
            return bytes(sync(self.fs.loop, answer["Body"].read)), str(answer["ETag"])
        finally:
            answer["Body"].close()

    def _objects(self) -> Iterator[tuple[str, int, str]]:
        """Yield the path below the folder, the size and the ETag of every object."""
        bucket, key, _ = self.fs.split_path(self.path)
        prefix = f"{key.rstrip('/')}/" if key else ""
        for name, size, etag in self._objects_from(bucket, prefix):
            yield name.removeprefix(prefix), size, etag

    def _objects_from(self, bucket: str, prefix: str) -> Iterator[tuple[str, int, str]]:
        """Yield the key, the size and the ETag of every object whose key begins with a prefix."""
        more: dict[str, str] = {}
        while True:
            page = self.fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, **more)
            for entry in page.get("Contents", ()):
                yield entry["Key"], int(entry["Size"]), str(entry.get("ETag", "")).strip('"')
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}


def is_s3(fs: Any) -> bool:
    """Return whether a file system is s3fs, whose stores have ETags and conditional writes."""
    return "s3" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def forget_credentials() -> None:
    """Make s3fs read the credentials again, which may have been renewed since."""
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
