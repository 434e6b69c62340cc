"""The files of a schedule, from the templates beside this module."""

import functools
import math
from importlib.metadata import version
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline_lib.nights.schedules import quoting
from pipeline_lib.nights.schedules.schedule import Schedule

Scheduler = Literal["cron", "systemd", "kubernetes", "kuberay", "airflow"]

# Where the containers find the settings file, which a ConfigMap holds.
_SETTINGS_FOLDER = "/etc/nightscore"
_SETTINGS_FILE = "settings.yaml"
_RAY_JOB_FILE = "rayjob.yaml"


def schedule_files(scheduler: Scheduler, schedule: Schedule) -> dict[str, str]:
    """Return the text of each file of a schedule by its name.

    Raises:
        SettingsError: a path or setting can't be written in this scheduler's format, or the settings file can't be
            read.
    """
    name = schedule.name
    match scheduler:
        case "cron":
            return {f"{name}.crontab": _on_a_machine("crontab", schedule)}
        case "systemd":
            units = ("service", "timer")
            return {f"{name}.{unit}": _on_a_machine(unit, schedule) for unit in units}
        case "airflow":
            return {f"{name.replace('-', '_')}_dag.py": _on_a_machine("airflow.py", schedule)}
        case "kubernetes":
            ray_job = _on_kubernetes("rayjob.yaml", schedule)
            files = {_SETTINGS_FILE: _settings_text(schedule), _RAY_JOB_FILE: ray_job}
            return {f"{name}.kubernetes.yaml": _documents(schedule, files, "kubernetes.yaml")}
        case "kuberay":
            files = {_SETTINGS_FILE: _settings_text(schedule)}
            return {f"{name}.kuberay.yaml": _documents(schedule, files, "kuberay.yaml")}


def _on_a_machine(template: str, schedule: Schedule) -> str:
    """Render a schedule for a machine on which Nightscore is installed."""
    command = [*schedule.program, *schedule.arguments(schedule.config_path)]
    return _rendered(template, schedule, command=command)


def _documents(schedule: Schedule, files: dict[str, str], template: str) -> str:
    """Return a ConfigMap with these files, and the documents of a template, as one stream of YAML."""
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": schedule.name, "namespace": schedule.namespace},
        "data": files,
    }
    head, body = _on_kubernetes(template, schedule).split("---\n", 1)
    return f"{head}---\n{quoting.yaml_document(config_map)}---\n{body}"


def _on_kubernetes(template: str, schedule: Schedule) -> str:
    """Render a schedule for containers."""
    command = ["nightscore", *schedule.arguments(f"{_SETTINGS_FOLDER}/{_SETTINGS_FILE}")]
    tuning = schedule.settings.tuning
    gpus = math.ceil((tuning.gpus_per_model_actor or 0) * (tuning.model_actors or 1))
    values = {
        "entrypoint": quoting.shell_words(command),
        "ray_version": version("ray"),
        "settings_folder": _SETTINGS_FOLDER,
        "settings_file": _SETTINGS_FILE,
        "ray_job_file": _RAY_JOB_FILE,
        "gpus": gpus,
    }
    spec = _rendered("ray_job_spec.yaml", schedule, **values)
    return _rendered(template, schedule, **values, ray_job_spec=spec)


def _settings_text(schedule: Schedule) -> str:
    return schedule.config.read_text(encoding="utf-8")


def _rendered(template: str, schedule: Schedule, **values: Any) -> str:
    return _templates().get_template(f"{template}.j2").render(schedule=schedule, **values)


@functools.cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipeline_lib.nights.schedules"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - none of these files is HTML; each value is quoted for its format
    )
    environment.filters |= {
        "shell": lambda text: quoting.shell_words([text]),
        "shell_words": quoting.shell_words,
        "cron": quoting.cron_command,
        "systemd_path": quoting.systemd_path,
        "systemd_file": quoting.systemd_file,
        "systemd_words": quoting.systemd_words,
        "yaml": quoting.yaml_value,
        "python": quoting.python_text,
    }
    return environment
