"""Metrics in Prometheus's text format, as the tests read them."""

import urllib.request
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families


class Sample(NamedTuple):
    """A value of a series."""

    labels: dict[str, str]
    value: float


def samples_in(text: str, prefix: str = "") -> dict[str, list[Sample]]:
    """Return the samples of a text by the names of their metrics, of those that begin with a prefix."""
    found: dict[str, list[Sample]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith(prefix):
                found.setdefault(sample.name, []).append(Sample(dict(sample.labels), sample.value))
    return found


def scraped(address: str, prefix: str = "") -> dict[str, list[Sample]]:
    """Return what an endpoint such as `127.0.0.1:9100` exports now."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return samples_in(answer.read().decode(), prefix)
