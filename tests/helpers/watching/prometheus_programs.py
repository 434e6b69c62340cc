"""Programs of Prometheus: from the PATH, or where `make monitoring-tools` puts them."""

import contextlib
import json
import shutil
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.helpers.stores.servers import free_port, running_server, wait_for_server

_UNPACKED = ROOT / "build" / "monitoring" / "usr" / "bin"


def program(name: str) -> str:
    """Return the path of `promtool`, `prometheus` or `prometheus-node-exporter`; skip the test where it is not."""
    found = shutil.which(name) or shutil.which(name, path=str(_UNPACKED))
    if found is None:
        pytest.skip(f"there is no {name}; on Debian and Ubuntu, `make monitoring-tools` gets it")
    return found


@contextlib.contextmanager
def node_exporter(textfiles: Path) -> Iterator[str]:
    """Run node_exporter on a folder of metrics files; yield its address."""
    address = f"127.0.0.1:{free_port()}"
    options = [
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--collector.textfile.directory={textfiles}",
    ]
    with running_server([program("prometheus-node-exporter"), *options, f"--web.listen-address={address}"]):
        wait_for_server(f"http://{address}")
        yield address


@contextlib.contextmanager
def prometheus(home: Path, rules: Path, addresses: list[str], discovery: Path) -> Iterator[str]:
    """Run Prometheus; yield its address.

    Args:
        home: for its data.
        rules: a file of rules.
        addresses: what to read from.
        discovery: a file in which others write what to read from.
    """
    address = f"127.0.0.1:{free_port()}"
    home.mkdir()
    sources = [{"static_configs": [{"targets": addresses}]}, {"file_sd_configs": [{"files": [str(discovery)]}]}]
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": f"source{number}", **each} for number, each in enumerate(sources)],
    }
    (home / "prometheus.yml").write_text(yaml.safe_dump(settings))
    options = [f"--config.file={home}/prometheus.yml", f"--storage.tsdb.path={home}/data"]
    with running_server([program("prometheus"), *options, f"--web.listen-address={address}"]):
        wait_for_server(f"http://{address}/-/ready")
        yield address


def asked(address: str, path: str, **query: str) -> Any:
    """Return what Prometheus's API answers."""
    url = f"http://{address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)["data"]
