"""An API server on loopback that keeps RayJobs, and plays what KubeRay would write into their status."""

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema
import yaml

from tests.helpers.clusters.schedules import check_manifest

Status = dict[str, Any]


class RayJobs:
    """The RayJobs of a cluster, each of which goes through the same statuses: one at each look."""

    def __init__(self, statuses: Sequence[Status]) -> None:
        self.statuses = statuses
        self.jobs: list[dict[str, Any]] = []
        self.looks = 0
        self.faults = 0
        """Requests that are still to be answered by 503."""

    def answer(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, dict[str, Any]]:
        """Return the code and the document with which the API server answers."""
        if self.faults:
            self.faults -= 1
            return 503, {"kind": "Status", "message": "the server is currently unable to handle the request"}
        parts = urlsplit(path)
        collection, _, name = parts.path.partition("/rayjobs")
        assert collection.startswith("/apis/ray.io/v1/namespaces/")
        if method == "POST":
            return self._create(collection.rpartition("/")[2], body or {})
        if not name:
            (selector,) = parse_qs(parts.query)["labelSelector"]
            label, _, value = selector.partition("=")
            items = [job for job in self.jobs if job["metadata"].get("labels", {}).get(label) == value]
            return 200, {"items": items}
        (job,) = [job for job in self.jobs if job["metadata"]["name"] == name.strip("/")]
        job["status"] = self.statuses[min(self.looks, len(self.statuses) - 1)]
        self.looks += 1
        return 200, job

    def _create(self, namespace: str, job: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        try:
            check_manifest(job)
        except jsonschema.ValidationError as error:
            return 422, {"kind": "Status", "message": error.message}
        assert job["metadata"]["namespace"] == namespace
        job["metadata"]["name"] = f"{job['metadata']['generateName']}{len(self.jobs):05}"
        self.jobs.append(job)
        return 201, job


@contextlib.contextmanager
def api_server(ray_jobs: RayJobs, folder: Path) -> Iterator[Path]:
    """Serve RayJobs on loopback while the block runs; yields the kubeconfig that names the server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply(None)

        def do_POST(self) -> None:
            self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _reply(self, body: dict[str, Any] | None) -> None:
            code, document = ray_jobs.answer(self.command, self.path, body)
            text = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the library
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    kubeconfig = folder / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    users = [{"name": "u", "user": {}}]
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [cluster],
                "contexts": [context],
                "current-context": "c",
                "users": users,
            }
        )
    )
    try:
        yield kubeconfig
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
