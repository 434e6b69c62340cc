"""Servers on loopback that the tests start, and where libraries look for S3."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from pathlib import Path

import s3fs

_PROGRAMS = Path(sys.executable).parent
_UNTIL_STDIN_CLOSES = Path(__file__).with_name("until_stdin_closes.py")


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running_server(command: Sequence[str]) -> Iterator[None]:
    """Run a server that ends with the block, or with this process however that ends."""
    guarded = [sys.executable, str(_UNTIL_STDIN_CLOSES), *command]
    with subprocess.Popen(guarded, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        yield  # afterwards its standard input is closed


@contextlib.contextmanager
def moto_server() -> Iterator[str]:
    """Run moto's S3 server, whose buckets are in its memory and whose writes may be conditional; yield its URL."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    with running_server([str(_PROGRAMS / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]):
        wait_for_server(endpoint)
        yield endpoint


@contextlib.contextmanager
def rclone_server(folder: Path) -> Iterator[str]:
    """Run rclone's S3 server, whose buckets are folders and which ignores conditions; yield its URL."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [str(_PROGRAMS / "rclone"), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", "test,test"]
    with running_server([*command, str(folder)]):
        wait_for_server(endpoint)
        yield endpoint


def wait_for_server(endpoint: str) -> None:
    """Wait until a server answers, whatever it says but that it is not ready."""
    for _ in range(1_200):  # a busy machine needs long to start one
        try:
            urllib.request.urlopen(endpoint, timeout=1).close()  # noqa: S310 - our own server
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                return
            time.sleep(0.1)
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(endpoint)


def access_to(endpoint: str) -> dict[str, str]:
    """Return the environment variables by which libraries find an S3 server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@contextlib.contextmanager
def s3_at(endpoint: str) -> Iterator[None]:
    """Have libraries find another S3 server for a while."""
    access = access_to(endpoint)
    before = {name: os.environ.get(name) for name in access}
    os.environ |= access
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        s3fs.S3FileSystem.clear_instance_cache()
