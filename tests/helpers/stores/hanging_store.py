"""A store on loopback that lists a bucket and never answers when an object is asked for."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

LISTING = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>x/</Prefix>
<KeyCount>{}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{}</ListBucketResult>"""
OBJECT = """<Contents><Key>x/{}.parquet</Key><LastModified>2026-11-22T00:00:00.000Z</LastModified>
<ETag>"{}"</ETag><Size>5000</Size><StorageClass>STANDARD</StorageClass></Contents>"""


class Handler(BaseHTTPRequestHandler):
    """Lists three shards below `s3://b/x`; every other request hangs for as long as the server lives."""

    def do_GET(self) -> None:
        """Answer a listing."""
        if "list-type" not in self.path:
            self.server.asked.set()  # type: ignore[attr-defined]
            threading.Event().wait()
        (prefix,) = parse_qs(urlsplit(self.path).query).get("prefix", [""])
        found = range(3 if "x/".startswith(prefix) else 0)
        body = LISTING.format(len(found), "".join(OBJECT.format(number, number) for number in found)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        """Answer what an object is, or that there is no such one."""
        name = self.path.rpartition("/")[2]
        self.send_response(200 if name[0].isdecimal() else 404)
        self.send_header("Content-Length", "5000")
        self.send_header("Last-Modified", "Sun, 22 Nov 2026 00:00:00 GMT")
        self.send_header("ETag", f'"{name[0]}"')
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


class HangingStore(ThreadingHTTPServer):
    """The server; `asked` is set once an object was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"
