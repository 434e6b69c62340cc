"""A real HTTP proxy on loopback before a real S3 server: it counts, leaves headers out, and fails when told to."""

import http.client
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

_ETAG = re.compile(rb"(<ETag>(?:&quot;|\")?)([0-9a-f]{32})((?:&quot;|\")?</ETag>)")
_OF_THE_CONNECTION = {"connection", "transfer-encoding", "keep-alive", "host", "server", "date", "expect"}


@dataclass(frozen=True)
class Request:
    """A request that came by, and the bytes of its answer."""

    method: str
    path: str
    """With the query."""
    answered: int


Answer = Callable[[str, str], tuple[int, str] | None]
"""Takes method and path; returns a status and an S3 error code to answer with, or None to pass the request on."""


@dataclass
class S3Proxy:
    """Stands before an S3 server for as long as it is open.

    Args:
        server: the endpoint it stands before.
        without: names of request headers, in small letters, that are not passed on.
        answer: what is answered in place of the server.
        other_etags: have ETags that are no MD5 of the content, as buckets with keys of their own have.
    """

    server: str
    without: frozenset[str] = frozenset()
    answer: Answer = lambda _method, _path: None
    other_etags: bool = False
    seen: list[Request] = field(default_factory=list)

    def __enter__(self) -> Self:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.close_connection = True
                self.raw_requestline = self.rfile.readline(65537)
                if self.raw_requestline and self.parse_request():
                    proxy._pass_on(self)

            def handle_expect_100(self) -> bool:
                return super().handle_expect_100()

        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._listener.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._listener.server_port}"
        threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown()
        self._listener.server_close()

    def count(self, word: str = "") -> int:
        """Return how many requests came by whose method and path contain a word."""
        return sum(word in f"{request.method} {request.path}" for request in self.seen)

    def _pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        refused = self.answer(handler.command, handler.path)
        if refused:
            status, code = refused
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code} it is</Message></Error>"
            content = b"" if handler.command == "HEAD" else text.encode()
            headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(content)))]
        else:
            status, headers, content = self._forwarded(handler, body)
        self.seen.append(Request(handler.command, handler.path, len(content)))
        handler.send_response_only(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(content)

    def _forwarded(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        passed = {
            name: value
            for name, value in handler.headers.items()
            if name.lower() not in self.without | (_OF_THE_CONNECTION - {"host"})
        }
        if self.other_etags and "If-Match" in passed:
            passed["If-Match"] = passed["If-Match"].strip('"')[::-1].join('""')
        connection = http.client.HTTPConnection(urlsplit(self.server).netloc, timeout=60)
        try:
            connection.request(handler.command, handler.path, body or None, passed)
            answer = connection.getresponse()
            content = answer.read()
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


def hang(_method: str, _path: str) -> None:
    """Answer nothing for ten minutes."""
    time.sleep(600)
