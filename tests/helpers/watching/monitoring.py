"""The files of configs/monitoring, as the tests read them."""

import json
import re
from typing import Any

import yaml

from tests.conftest import ROOT

ALERTS = ROOT / "configs" / "monitoring" / "alerts.yaml"
ALERTS_TEST = ALERTS.with_name("alerts_test.yaml")
DASHBOARD = ALERTS.with_name("dashboard.json")

_NAME = re.compile(r"\b(?:ray_nightscore|nightscore|node_textfile)_\w+")


def dashboard() -> Any:
    """Return the dashboard."""
    return json.loads(DASHBOARD.read_text())


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    found: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    return found


def panel_queries() -> dict[str, str]:
    """Return the query of each panel by its title, with Grafana's variables filled in."""
    return {
        panel["title"]: target["expr"].replace("$scoring_job", ".*").replace("$__rate_interval", "30s")
        for panel in dashboard()["panels"]
        for target in panel.get("targets", ())
    }


def names_used() -> set[str]:
    """Return the names of all metrics that dashboard and rules have."""
    variables = [variable.get("definition", "") for variable in dashboard()["templating"]["list"]]
    queries = [*panel_queries().values(), *(rule["expr"] for rule in rules()), *variables]
    return {name for query in queries for name in _NAME.findall(query)}
