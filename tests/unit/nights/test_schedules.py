"""Schedules: what the real schedulers say to them, and what is said about options that none would take."""

import datetime as dt
import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import croniter
import jsonschema
import pytest
import yaml

from jobs.score import app
from pipeline_lib.nights.schedules.rendering import Scheduler, schedule_files
from pipeline_lib.nights.schedules.schedule import Schedule
from tests.helpers.clusters.schedules import (
    DATED,
    NIGHTLY,
    READY_MADE,
    ROOT,
    check_manifest,
    documents,
    hadolint,
    needs_systemd,
    replaced,
    systemd_complaints,
    without,
)

SCHEDULERS = get_args(Scheduler)
CRON_JOB = (READY_MADE / "reviews-nightly.kubernetes.yaml").read_text(encoding="utf-8")
RAY_CRON_JOB = (READY_MADE / "reviews-nightly.kuberay.yaml").read_text(encoding="utf-8")
RAY_JOB = documents(CRON_JOB)["ConfigMap"]["data"]["rayjob.yaml"]


def schedule(*arguments: str) -> tuple[int, str, str]:
    """Run the command, and return its exit code, output and errors."""
    from typer.testing import CliRunner

    ended = CliRunner().invoke(app, ["schedule", *arguments])
    return ended.exit_code, ended.stdout, ended.stderr


def commands() -> list[list[str]]:
    text = (READY_MADE / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(line)[2:] for line in text.splitlines() if line.startswith("nightscore schedule")]


def test_the_ready_made_schedules_are_what_the_commands_in_their_readme_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    for command in commands():
        code, said, wrong = schedule(*command[:-1], str(tmp_path))
        assert code == 0, wrong
        assert [Path(line).parent for line in said.splitlines()] == [tmp_path] * len(said.splitlines())
    made = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    others = {"README.md", "Dockerfile", "Dockerfile.dockerignore"}
    kept = {path.name for path in READY_MADE.iterdir() if path.is_file()} - others
    assert made.keys() == kept
    for name, text in made.items():
        assert (READY_MADE / name).read_text(encoding="utf-8") == text, f"{name}: make it again"


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_without_an_output_folder_the_files_are_printed(scheduler: Scheduler, tmp_path: Path) -> None:
    options = [str(NIGHTLY), "--for", scheduler, "--folder", "/opt/n"]
    _, printed, _ = schedule(*options)
    code, _, _ = schedule(*options, "--output", str(tmp_path))
    assert code == 0
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    headings = [f"# {name}\n" if len(written) > 1 else "" for name in sorted(written)]
    assert printed == "".join(
        heading + written[name] for heading, name in zip(headings, sorted(written), strict=True)
    )


def test_without_a_folder_a_schedule_names_this_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = Schedule(config=Path("settings.yaml"), settings=DATED)
    assert chosen.home == str(tmp_path)
    assert chosen.config_path == str(tmp_path / "settings.yaml")
    assert chosen.name == "settings"
    # The program answers, whatever it is called here.
    said = subprocess.run([*chosen.program, "--help"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "Exit codes" in said.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--at", "25:00"], r"--at '25:00': expected an hour and a minute from 00:00 to 23:59, such as 03:30"),
        (["--at", "3:30"], r"--at '3:30': expected"),
        (
            ["--timezone", "Europe/Berln"],
            r"--timezone 'Europe/Berln': no such time zone; did you mean 'Europe/Berlin'",
        ),
        (["--timezone", "../UTC"], r"--timezone '\.\./UTC': no such time zone"),
        (["--last", "0"], r"--last 0: expected a number from 1 to 3,660"),
        (["--name", "Reviews_Nightly"], r"--name 'Reviews_Nightly': expected .* such as 'reviews-nightly'"),
        (["--name", "a" * 37], r"--name 'a+': expected at most 36"),
        (["--namespace", "My Space"], r"--namespace 'My Space': expected at most 63"),
        (["--image", "a b"], r"--image 'a b': expected the name of a container image"),
        (["--folder", "opt"], r"--folder 'opt': expected an absolute path, such as /opt/nightscore"),
        (["--folder", "/opt/a\nb"], r"a schedule can't hold the character '\\n'"),
        (["--set", "output.pth=x/{date}"], r"did you mean 'output\.path'"),
        (["--set", "output.path=x"], r"needs an output for each night; output.path 'x' has no \{date\}"),
        (["--set", "model.name=https://a:secret@b/c"], r"has a password, token or signature in it"),
        (["--output", "/dev/null/x"], r"--output '/dev/null/x': can't write there"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(options: list[str], said: str) -> None:
    code, printed, wrong = schedule(str(NIGHTLY), "--for", "cron", *options)
    assert (code, printed) == (2, "")
    (line,) = wrong.splitlines()
    assert line.startswith("error: ")
    assert re.search(said, line), line
    assert "secret" not in line


def test_a_missing_settings_file_and_an_unknown_scheduler_are_refused() -> None:
    assert schedule("configs/review_nightly.yaml", "--for", "cron")[0] == 2
    code, _, wrong = schedule(str(NIGHTLY), "--for", "crond")
    assert code == 2
    assert "cron" in wrong


@pytest.mark.parametrize(
    "name", ["1.yaml", "Ünïcode & co.yaml", "日本.yaml", "-.yaml", "a" * 80 + ".yaml", "x-.yaml"]
)
def test_any_name_of_a_settings_file_gives_a_name_that_all_schedulers_take(name: str) -> None:
    chosen = Schedule(config=Path(name), settings=DATED).name
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,34}[a-z0-9])?", chosen)


# Cron


def test_cron_starts_the_line_every_night() -> None:
    line = (READY_MADE / "reviews-nightly.crontab").read_text(encoding="utf-8").splitlines()[-1]
    fields = line.split(" ", 5)[:5]
    began = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
    ticks = croniter.croniter(" ".join(fields), began)
    times = [ticks.get_next(dt.datetime) for _ in range(3)]
    assert times == [dt.datetime(2026, 11, day, 3, 30, tzinfo=dt.UTC) for day in (22, 23, 24)]
    assert not croniter.croniter.is_valid(" ".join(["60", *fields[1:]]))


# Kubernetes


def test_kubernetes_and_kuberay_take_the_manifests() -> None:
    every = [*yaml.safe_load_all(CRON_JOB), *yaml.safe_load_all(RAY_CRON_JOB), yaml.safe_load(RAY_JOB)]
    for document in every:
        check_manifest(document)
    kinds = [document["kind"] for document in every]
    expected = [
        "ConfigMap",
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "CronJob",
        "ConfigMap",
        "RayCronJob",
        "RayJob",
    ]
    assert kinds == expected


def test_nights_do_not_overlap_and_no_retry_starts_a_second_cluster() -> None:
    cron_job = documents(CRON_JOB)["CronJob"]["spec"]
    assert (cron_job["concurrencyPolicy"], cron_job["timeZone"]) == ("Forbid", "UTC")
    for spec in (yaml.safe_load(RAY_JOB)["spec"], documents(RAY_CRON_JOB)["RayCronJob"]["spec"]["jobTemplate"]):
        assert spec["backoffLimit"] == 0
        groups = {group["groupName"]: group for group in spec["rayClusterSpec"]["workerGroupSpecs"]}
        assert groups["gpu"]["maxReplicas"] == 4
        assert groups["cpu"]["maxReplicas"] > 0


def test_no_machine_with_a_gpu_is_paid_for_where_the_settings_name_none() -> None:
    (text,) = schedule_files("kuberay", Schedule(config=NIGHTLY, settings=DATED)).values()
    groups = documents(text)["RayCronJob"]["spec"]["jobTemplate"]["rayClusterSpec"]["workerGroupSpecs"]
    assert [group["maxReplicas"] for group in groups] == [8, 0]


POD = ("spec", "jobTemplate", "spec", "template", "spec")
HEAD = ("rayClusterSpec", "headGroupSpec", "template", "spec")


@pytest.mark.parametrize(
    "damaged",
    [
        lambda: replaced(documents(CRON_JOB)["CronJob"], "spec", "timezone", value="UTC"),
        lambda: replaced(documents(CRON_JOB)["CronJob"], "spec", "concurrencyPolicy", value=1),
        lambda: without(documents(CRON_JOB)["CronJob"], "spec", "schedule"),
        lambda: replaced(documents(CRON_JOB)["CronJob"], *POD, "containers", 0, "imagePolicy", value="Always"),
        lambda: replaced(documents(CRON_JOB)["Role"], "rules", 0, "verb", value=["get"]),
        lambda: replaced(yaml.safe_load(RAY_JOB), "spec", "entryPoint", value="x"),
        lambda: replaced(yaml.safe_load(RAY_JOB), "spec", "backoffLimit", value="0"),
        lambda: replaced(yaml.safe_load(RAY_JOB), "spec", *HEAD, "containers", 0, "imagePolicy", value="Always"),
        lambda: without(yaml.safe_load(RAY_JOB), "spec", *HEAD, "containers"),
        lambda: replaced(documents(RAY_CRON_JOB)["RayCronJob"], "spec", "concurrencyPolicy", value="Forbid"),
        lambda: without(documents(RAY_CRON_JOB)["RayCronJob"], "spec", "schedule"),
        lambda: replaced(documents(RAY_CRON_JOB)["RayCronJob"], "spec", "jobTemplate", "retries", value=1),
    ],
)
def test_a_damaged_manifest_is_refused(damaged: Callable[[], dict[str, Any]]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check_manifest(damaged())


def test_the_secrets_are_in_no_file() -> None:
    names = {"reviews-nightly.kubernetes.yaml": RAY_JOB, "reviews-nightly.kuberay.yaml": RAY_CRON_JOB}
    for text in names.values():
        assert text.count("secretRef") == 1
        spec = yaml.safe_load(text[text.index("spec:") :].replace("---", ""))["spec"]
        cluster = spec.get("jobTemplate", spec)["rayClusterSpec"]
        pods = [cluster["headGroupSpec"]["template"], *(group["template"] for group in cluster["workerGroupSpecs"])]
        sources = [pod["spec"]["containers"][0]["envFrom"] for pod in pods]
        assert sources == [[{"secretRef": {"name": "reviews-nightly-env", "optional": True}}]] * 3


# systemd


@needs_systemd
@pytest.mark.parametrize("unit", ["service", "timer"])
def test_systemd_has_no_objection_to_the_units_and_one_to_damaged_ones(unit: str, tmp_path: Path) -> None:
    program = tmp_path / "home" / ".venv" / "bin" / "nightscore"
    program.parent.mkdir(parents=True)
    program.symlink_to(Path(sys.executable).with_name("nightscore"))
    chosen = Schedule(config=Path("c.yaml"), settings=DATED, folder=str(tmp_path / "home"), name="n")
    files = schedule_files("systemd", chosen)
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert systemd_complaints(tmp_path, f"n.{unit}") == []
    damages = {
        "service": [("Restart=on-failure", "Restart=sometimes"), ("ExecStart=", "ExecBegin="), ("nightscore", "x")],
        "timer": [("OnCalendar=*-*-* 03", "OnCalendar=*-*-* 25"), ("Persistent", "Persist"), (" UTC", " Mars")],
    }
    for old, new in damages[unit]:
        damaged = files[f"n.{unit}"].replace(old, new)
        assert damaged != files[f"n.{unit}"]
        (tmp_path / f"n.{unit}").write_text(damaged, encoding="utf-8")
        assert systemd_complaints(tmp_path, f"n.{unit}"), (old, new)


@needs_systemd
def test_systemd_starts_the_timer_once_a_night_in_its_time_zone() -> None:
    chosen = Schedule(config=Path("c.yaml"), settings=DATED, name="n", at="04:15", timezone="Europe/Berlin")
    timer = schedule_files("systemd", chosen)["n.timer"]
    (when,) = re.findall(r"^OnCalendar=(.*)$", timer, re.MULTILINE)
    command = ["systemd-analyze", "calendar", "--iterations=2", "--base-time=2026-11-22 00:00:00 UTC"]
    said = subprocess.run([*command, when], capture_output=True, text=True, check=True).stdout
    times = [dt.datetime.fromisoformat(time) for time in re.findall(r"(\d{4}-\d\d-\d\d \d\d:\d\d):\d\d UTC", said)]
    # 04:15 in Berlin is 03:15 in UTC in November.
    assert times[0] == dt.datetime(2026, 11, 22, 3, 15)  # noqa: DTZ001 - the text says that it is in UTC
    assert [after - before for before, after in itertools.pairwise(times)] == [dt.timedelta(days=1)]
    damaged = subprocess.run([*command, when.replace("Berlin", "Bern")], capture_output=True, check=False)
    assert damaged.returncode != 0


# The image


def test_the_dockerfile_has_no_fault_and_a_damaged_one_has(tmp_path: Path) -> None:
    text = (READY_MADE / "Dockerfile").read_text(encoding="utf-8")
    assert hadolint(READY_MADE / "Dockerfile") == ""
    for old, new, rule in [
        ("FROM python:3.11-slim-bookworm", "FROM python", "DL3006"),
        ("WORKDIR /opt/nightscore", "WORKDIR opt", "DL3000"),
        ("PIP_NO_CACHE_DIR=1", "PIP_NO_CACHE=1", "DL3042"),
        ("USER 1000", "USER root", "DL3002"),
    ]:
        (tmp_path / "Dockerfile").write_text(text.replace(old, new))
        assert rule in hadolint(tmp_path / "Dockerfile")


def test_the_image_has_what_it_copies_and_the_extras_that_it_installs() -> None:
    import tomllib

    text = (READY_MADE / "Dockerfile").read_text(encoding="utf-8")
    for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE):
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources), line
    (extras,) = re.findall(r"'\.\[([\w,]+)\]'", text)
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= set(known)
    allowed = (READY_MADE / "Dockerfile.dockerignore").read_text().splitlines()
    copied = [source for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE) for source in line.split()[:-1]]
    assert {f"!{source}" for source in copied} == {line for line in allowed if line.startswith("!")}
