"""Every text that a schedule can hold is read back as it was, by what reads the schedule."""

import ast
import string
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline_lib.errors import SettingsError
from pipeline_lib.nights.schedules import quoting
from pipeline_lib.nights.schedules.rendering import schedule_files
from pipeline_lib.nights.schedules.schedule import Schedule
from tests.helpers.clusters.schedules import (
    DATED,
    cron_words,
    documents,
    needs_systemd,
    systemd_arguments,
    systemd_complaints,
    systemd_reads,
)

# Any character that a schedule takes, and often those with a meaning in one of the formats.
SPECIAL = " '\"%$\\`!#&;|<>(){}[]*?~=:,@-"
plain = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Cn", "Co"])
texts = st.text(st.one_of(st.sampled_from(SPECIAL + string.ascii_letters + "ü😀"), plain), max_size=30)
names = texts.map(lambda text: text.replace("/", "")).filter(lambda name: name not in {"", ".", ".."})


def schedule(folder: str, config: str, override: str, tmp_path: Path | None = None) -> Schedule:
    path = (tmp_path or Path()) / config
    return Schedule(
        config=path, settings=DATED, overrides=(f"output.path={override}",), folder=f"/{folder}", name="n"
    )


@settings(max_examples=50)
@given(folder=names, config=names, override=texts)
def test_cron_and_the_shell_get_the_words_that_were_meant(folder: str, config: str, override: str) -> None:
    assume("\\" not in folder + config + override)
    chosen = schedule(folder, config, override)
    (crontab,) = schedule_files("cron", chosen).values()
    words = cron_words(crontab)
    arguments = chosen.arguments(chosen.config_path)
    begin = words.index("exec") + 1 if folder != "exec" else words.index("exec", 3) + 1
    assert words[:3] == ["cd", f"/{folder}", "&&"]
    assert words[begin : begin + 1 + len(arguments)] == [f"/{folder}/.venv/bin/nightscore", *arguments]
    assert words[begin + 1 + len(arguments) :] == [";", "}", ">>", f"/{folder}/n.log", "2", ">&", "1"]


def test_a_backslash_which_crons_read_differently_is_refused() -> None:
    with pytest.raises(SettingsError, match="cron has no safe way to write a backslash"):
        schedule_files("cron", schedule("a\\b", "c", "d"))


def test_a_command_longer_than_cron_takes_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"1,\d\d\d bytes, and cron takes 990; put what --set changes"):
        schedule_files("cron", schedule("a", "c", "d" * 900))


def test_a_shell_does_what_the_line_of_the_crontab_says(tmp_path: Path) -> None:
    home = tmp_path / 'it\'s 100% $HOME; "ü"'
    program = home / ".venv" / "bin" / "nightscore"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$PWD" "$SECRET" "$@"\necho wrong >&2\n')
    program.chmod(0o700)
    (home / "n.env").write_text("SECRET='a b$c'\n")
    chosen = Schedule(
        config=Path("c d.yaml"), settings=DATED, overrides=("a.b=1 % $x",), folder=str(home), name="n"
    )
    (crontab,) = schedule_files("cron", chosen).values()
    line = crontab.splitlines()[-1].split(" ", 5)[5].replace("\\%", "%")
    subprocess.run(["sh", "-c", line], cwd="/", check=True)
    said = (home / "n.log").read_text().splitlines()
    assert said == [str(home), "a b$c", *chosen.arguments(f"{home}/c d.yaml"), "wrong"]


@needs_systemd
@settings(max_examples=8, deadline=None)
@given(words=st.lists(st.tuples(names, names, texts), min_size=8, max_size=8))
def test_systemd_gets_the_words_and_paths_that_were_meant(
    words: list[tuple[str, str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("units")
    lines, meant = [], []
    for home, config, override in words:
        if home.strip(" ") != home or home.endswith("\\"):
            continue
        chosen = schedule(home, config, override)
        command = [*chosen.program, *chosen.arguments(chosen.config_path)]
        meant.append(command)
        lines.append(f"ExecStart={quoting.systemd_words(command)}")
        lines.append(f"WorkingDirectory={quoting.systemd_path(chosen.home)}")
        lines.append(f"EnvironmentFile={quoting.systemd_file(chosen.home)}")
    assume(meant)
    unit = folder / "n.service"
    unit.write_text("[Service]\nType=oneshot\n" + "\n".join(lines) + "\n", encoding="utf-8")
    read = systemd_reads(folder, "n.service")
    commands = [systemd_arguments(value) for name, value in read if name == "Command Line"]
    through_a_shell = ["/bin/sh", "-c", 'exec "$0" "$@"']
    assert [words[3:] if words[:3] == through_a_shell else words for words in commands] == meant
    # The last of several working folders counts.
    last = Path(meant[-1][0]).parents[2]
    assert dict(read)["WorkingDirectory"] == str(last)


def test_a_path_that_systemd_would_cut_is_refused() -> None:
    for folder in ("a ", "a\\"):
        with pytest.raises(SettingsError, match="ends with white space or a backslash"):
            schedule_files("systemd", schedule(folder, "c", "d"))


@given(texts)
def test_yaml_reads_every_text_back(text: str) -> None:
    assert yaml.safe_load(f"a: {quoting.yaml_value(text)}\n") == {"a": text}
    assert yaml.safe_load(f"  - {quoting.yaml_value([text, 1])}\n") == [[text, 1]]


@given(st.text(st.one_of(st.sampled_from("\n\t :#-|'\"%"), plain), max_size=60))
def test_a_settings_file_in_a_config_map_is_read_back_as_it_was(text: str) -> None:
    assert yaml.safe_load(quoting.yaml_document({"data": {"a": text}})) == {"data": {"a": text}}


@given(texts)
def test_python_reads_every_text_back(text: str) -> None:
    assert ast.literal_eval(quoting.python_text(text)) == text


@pytest.mark.parametrize("scheduler", ["kubernetes", "kuberay"])
def test_the_entrypoint_in_a_container_is_what_was_meant(scheduler: str, tmp_path: Path) -> None:
    override = 'it\'s 100% $HOME "ü" \\ ${{ x }} {% y %}'
    (tmp_path / "c.yaml").write_text("model: {name: m}\n")
    chosen = schedule("x", "c.yaml", override, tmp_path)
    (text,) = schedule_files(scheduler, chosen).values()  # type: ignore[arg-type]
    found = documents(text)
    spec = (
        found["RayCronJob"]["spec"]["jobTemplate"]
        if scheduler == "kuberay"
        else yaml.safe_load(found["ConfigMap"]["data"]["rayjob.yaml"])["spec"]
    )
    words = subprocess.run(
        ["sh", "-c", f"printf '%s\\0' {spec['entrypoint']}"], capture_output=True, text=True, check=True
    ).stdout.split("\0")
    assert words == ["nightscore", *chosen.arguments("/etc/nightscore/settings.yaml"), ""]
    assert found["ConfigMap"]["data"]["settings.yaml"] == "model: {name: m}\n"


@needs_systemd
def test_systemd_refuses_a_program_with_quotes_in_its_path_which_the_shell_then_starts(tmp_path: Path) -> None:
    program = tmp_path / 'it\'s "n"' / ".venv" / "bin" / "nightscore"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o700)
    for value, taken in (
        (f'"{program}" a'.replace('"n"', '\\"n\\"'), False),
        (quoting.systemd_words([str(program), "a  b$"]), True),
    ):
        (tmp_path / "n.service").write_text(f"[Service]\nType=oneshot\nExecStart={value}\n")
        assert bool(systemd_complaints(tmp_path, "n.service")) is not taken
    (command,) = [value for name, value in systemd_reads(tmp_path, "n.service") if name == "Command Line"]
    said = subprocess.run(systemd_arguments(command), capture_output=True, text=True, check=True).stdout
    assert said == "a  b$\n"
