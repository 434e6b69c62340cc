"""The files of configs/monitoring, with Prometheus's own tools and against what a run really exports."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.helpers.command_line import nightscore
from tests.helpers.started_runs import job
from tests.helpers.watching.exposition import samples_in
from tests.helpers.watching.monitoring import ALERTS, ALERTS_TEST, dashboard, names_used, rules
from tests.helpers.watching.prometheus_programs import program


def promtool(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [program("promtool"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_alert_rules_pass_their_tests() -> None:
    for command in (("check", "rules", ALERTS), ("test", "rules", ALERTS_TEST)):
        result = promtool(*command)
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("> 26 * 3600", "> 27 * 3600"),
        ("or nightscore_last_run_exit_code == 2", ""),
        ("for: 30m", "for: 90m"),
        ("exit_code == 3", "exit_code == 4"),
        ("> 0.02", "> 0.01"),
        ("unless nightscore_last_run_timestamp_seconds >=", "unless nightscore_last_run_timestamp_seconds <"),
        ("absent(nightscore_run_start_timestamp_seconds)", "absent(up)"),
        ("[2d]", "[5m]"),
        ("node_textfile_scrape_error == 1", "node_textfile_scrape_error == 2"),
    ],
)
def test_a_damaged_rule_fails_the_tests_of_the_rules(tmp_path: Path, right: str, wrong: str) -> None:
    text = ALERTS.read_text()
    assert right in text
    (tmp_path / ALERTS.name).write_text(text.replace(right, wrong))
    (tmp_path / ALERTS_TEST.name).write_bytes(ALERTS_TEST.read_bytes())
    result = promtool("test", "rules", tmp_path / ALERTS_TEST.name)
    assert result.returncode == 1, result.stdout + result.stderr


def test_every_rule_has_a_test_in_which_it_fires() -> None:
    tests = yaml.safe_load(ALERTS_TEST.read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert fired == {rule["alert"] for rule in rules()}


def test_panels_have_a_place_each_and_the_data_source_that_is_chosen() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    for panel in (panel for panel in panels if panel["type"] != "row"):
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert [variable["name"] for variable in dashboard()["templating"]["list"]] == ["datasource", "scoring_job"]


def test_a_run_exports_every_metric_of_the_file_that_dashboard_and_rules_name(
    tmp_path: Path, checkpoint: Path
) -> None:
    config = job(tmp_path, checkpoint, rows=10, out=tmp_path / "out")
    ended = nightscore("run", str(config), "--local", "--metrics-file", str(tmp_path / "a.prom"))
    assert ended.returncode == 0, ended.stderr
    exported = set(samples_in((tmp_path / "a.prom").read_text()))
    used = {name for name in names_used() if name.startswith("nightscore_")}
    assert used
    assert used <= exported
