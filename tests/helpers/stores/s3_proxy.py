"""A real HTTP proxy on loopback before a real S3 server: it counts, leaves headers out, and fails when told to."""

import contextlib
import http.client
import os
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

_ETAG = re.compile(rb"(<ETag>(?:&quot;|\")?)([0-9a-f]{32})((?:&quot;|\")?</ETag>)")
_OF_THE_CONNECTION = {"connection", "transfer-encoding", "keep-alive", "host", "server", "date", "expect"}
# A read that is slow comes in so many pieces.
_PIECES = 8


class Fault(StrEnum):
    """What the proxy does to a request in place of passing it and its answer on."""

    SLOW_DOWN = "503 SlowDown"
    """The server never sees the request."""
    RESET = "connection reset"
    """The server never sees the request, and the connection ends without an answer."""
    LOST = "lost answer"
    """The server does what is asked, and the connection ends without an answer."""
    CUT_READ = "cut read"
    """The answer ends in the middle of its body."""
    SLOW_READ = "slow read"
    """The answer comes in pieces, with pauses."""
    CUT_WRITE = "cut write"
    """The server gets half of the request's body; then both connections end."""
    STALE = "stale listing"
    """A listing is the one that was the answer to the same question before."""


@dataclass(frozen=True)
class Request:
    """A request that came by, and what it and its answer held."""

    method: str
    path: str
    """With the query."""
    answered: int
    """Bytes of the answer's body."""
    sent: int = 0
    """Bytes of the request's body."""
    fault: str = ""
    """What was done to it."""
    is_copy: bool = False

    @property
    def kind(self) -> str:
        """The kind of request by S3's own names."""
        query = urlsplit(self.path).query
        if "uploadId=" in query or re.search(r"(^|&)uploads(=|&|$)", query):
            return "multipart"
        if self.method == "GET" and is_listing(self.path):
            return "ListObjects"
        if self.method == "PUT" and self.is_copy:
            return "CopyObject"
        if self.method == "POST":
            return "DeleteObjects"
        return f"{self.method.capitalize()}Object"


Answer = Callable[[str, str], tuple[int, str] | Fault | None]
"""Takes method and path; returns a status and an S3 error code to answer with, a fault, or None to pass it on."""

_Reply = tuple[int, list[tuple[str, str]], bytes]


@dataclass
class S3Proxy:
    """Stands before an S3 server for as long as it is open.

    Args:
        server: the endpoint it stands before.
        without: names of request headers, in small letters, that are not passed on.
        answer: what is answered in place of the server, or done to a request.
        other_etags: have ETags that are no MD5 of the content, as buckets with keys of their own have.
        stale_seconds: the age of the oldest listing that a stale one may be.
        pause: seconds between the pieces of a slow read.
        keeps_listings: whether stale listings are the last ones that were right, or those from before.
    """

    server: str
    without: frozenset[str] = frozenset()
    answer: Answer = lambda _method, _path: None
    other_etags: bool = False
    stale_seconds: float = 60.0
    pause: float = 0.02
    keeps_listings: bool = True
    seen: list[Request] = field(default_factory=list)
    _listings: dict[str, tuple[float, _Reply]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.close_connection = True
                # A client that is killed ends its connections wherever they are.
                with contextlib.suppress(ConnectionError):
                    self.raw_requestline = self.rfile.readline(65537)
                    if self.raw_requestline and self.parse_request():
                        proxy._pass_on(self)

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                """Stay silent about clients that are gone."""

        self._listener = Listener(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._listener.server_port}"
        threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown()
        self._listener.server_close()

    def count(self, word: str = "") -> int:
        """Return how many requests came by whose method and path contain a word."""
        return sum(word in f"{request.method} {request.path}" for request in self.seen)

    def faults(self) -> Counter[str]:
        """Return how often each fault was done."""
        return Counter(request.fault for request in self.seen if request.fault)

    def _pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        told = self.answer(handler.command, handler.path)
        fault = told if isinstance(told, Fault) else None
        if isinstance(told, tuple) or fault is Fault.SLOW_DOWN:
            reply = _error(handler.command, *(told if isinstance(told, tuple) else (503, "SlowDown")))
        elif fault is Fault.RESET:
            reply = (0, [], b"")
        elif fault is Fault.CUT_WRITE and body:
            self._send_half(handler, body)
            reply = (0, [], b"")
        else:
            reply, fault = self._with_listing(handler, self._forwarded(handler, body), fault)
        self.seen.append(
            Request(
                handler.command,
                handler.path,
                len(reply[2]),
                len(body),
                fault or (told[1] if isinstance(told, tuple) else ""),
                is_copy="x-amz-copy-source" in handler.headers,
            )
        )
        if fault in (Fault.RESET, Fault.LOST, Fault.CUT_WRITE):
            _reset(handler.connection)
        else:
            self._reply(handler, reply, fault)

    def _reply(self, handler: BaseHTTPRequestHandler, reply: _Reply, fault: Fault | None) -> None:
        status, headers, content = reply
        handler.send_response_only(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Connection", "close")
        handler.end_headers()
        if fault is Fault.CUT_READ:
            handler.wfile.write(content[: len(content) // 2])
            handler.wfile.flush()
            time.sleep(self.pause)  # else the reset overtakes what was written
            _reset(handler.connection)
        elif fault is Fault.SLOW_READ:
            size = len(content) // _PIECES + 1
            for start in range(0, len(content), size):
                time.sleep(self.pause)
                handler.wfile.write(content[start : start + size])
        else:
            handler.wfile.write(content)

    def _with_listing(
        self, handler: BaseHTTPRequestHandler, reply: _Reply, fault: Fault | None
    ) -> tuple[_Reply, Fault | None]:
        """Return the answer to a listing before this one if it shall be stale; keep this one for the next time."""
        if handler.command != "GET" or not is_listing(handler.path):
            return reply, None if fault is Fault.STALE else fault
        now = time.monotonic()
        before = self._listings.get(handler.path)
        if fault is Fault.STALE:
            usable = before is not None and now - before[0] < self.stale_seconds and before[1][2] != reply[2]
            return (before[1], fault) if before and usable else (reply, None)
        if reply[0] == http.HTTPStatus.OK and self.keeps_listings:
            self._listings[handler.path] = (now, reply)
        return reply, fault

    def _headers(self, handler: BaseHTTPRequestHandler) -> dict[str, str]:
        passed = {
            name: value
            for name, value in handler.headers.items()
            if name.lower() not in self.without | (_OF_THE_CONNECTION - {"host"})
        }
        for name in ("If-Match", "x-amz-copy-source-if-match"):
            if self.other_etags and name in passed:
                passed[name] = passed[name].strip('"')[::-1].join('""')
        return passed

    def _send_half(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        connection = http.client.HTTPConnection(urlsplit(self.server).netloc, timeout=60)
        connection.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self._headers(handler).items():
            connection.putheader(name, value)
        connection.endheaders(body[: len(body) // 2])
        time.sleep(self.pause)
        connection.close()

    def _forwarded(self, handler: BaseHTTPRequestHandler, body: bytes) -> _Reply:
        connection = http.client.HTTPConnection(urlsplit(self.server).netloc, timeout=60)
        try:
            connection.request(handler.command, handler.path, body or None, self._headers(handler))
            answer = connection.getresponse()
            content = _content(answer)
        finally:
            connection.close()
        headers = [pair for pair in answer.getheaders() if pair[0].lower() not in _OF_THE_CONNECTION]
        if not any(name.lower() == "content-length" for name, _ in headers):
            headers.append(("Content-Length", str(len(content))))
        if self.other_etags:
            headers = [
                (name, value.strip('"')[::-1].join('""') if name.lower() == "etag" else value)
                for name, value in headers
            ]
            if content.startswith(b"<?xml"):
                content = _ETAG.sub(lambda found: found[1] + found[2][::-1] + found[3], content)
        return answer.status, headers, content


def is_listing(path: str) -> bool:
    """Return whether a GET of a path lists a bucket."""
    return "list-type=2" in urlsplit(path).query


def hang(_method: str, _path: str) -> None:
    """Answer nothing for ten minutes."""
    time.sleep(600)


def _content(answer: http.client.HTTPResponse) -> bytes:
    """Return the body of an answer, also of one that the server itself cut short."""
    try:
        return answer.read()
    except http.client.IncompleteRead as cut:
        return cut.partial


def _error(method: str, status: int, code: str) -> _Reply:
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code} it is</Message></Error>"
    content = b"" if method == "HEAD" else text.encode()
    return status, [("Content-Type", "application/xml"), ("Content-Length", str(len(content)))], content


def _reset(connection: socket.socket) -> None:
    """End a connection by a reset, as a machine does that loses it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())
