"""The command `status`: its table, its options, `--check` and `--json`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline_lib.nights.night import Night
from pipeline_lib.nights.table import print_table
from tests.conftest import ROOT, SettingsMaker, write_parquet
from tests.helpers.command_line import error_line, nightscore
from tests.helpers.watching.one_night import FIRST, RANGE, run, shard


def test_status_imports_neither_ray_nor_what_computes_a_score(tmp_path: Path, nightly: SettingsMaker) -> None:
    shard(tmp_path)
    assert run(nightly()) == 0
    (tmp_path / "job.yaml").write_text(nightly().model_dump_json())
    program = (
        "import sys; from jobs.score import app; app(standalone_mode=False); "
        "print(sorted({'ray', 'torch', 'transformers', 'openvino'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "status", str(tmp_path / "job.yaml"), *RANGE, "--check"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.splitlines()[-2:] == ["1 night: 1 published", "[]"]


def test_the_table_is_plain_in_a_pipe_and_an_object_a_night_in_json(tmp_path: Path, nightly: SettingsMaker) -> None:
    shard(tmp_path)
    assert run(nightly()) == 0
    config = str(tmp_path / "job.yaml")
    Path(config).write_text(nightly().model_dump_json())
    ended = nightscore("status", config, "--from", "2026-11-22", "--to", "2026-11-23", columns=20)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].split("  ")[0] == "night"
    assert lines[1].startswith("2026-11-22  published     2         0  bert")
    assert lines[2] == "2026-11-23  no_input"
    assert lines[3:] == ["2 nights: 1 published, 1 no_input"]
    ended = nightscore("status", config, *RANGE, "--json")
    (told,) = json.loads(ended.stdout)
    assert told["date"] == "2026-11-22"
    wanted = {"state", "rows", "scored", "rejected", "exit_code", "reason", "version", "finished_at"}
    assert wanted <= told.keys()
    assert (told["state"], told["rows"], told["exit_code"]) == ("published", 2, 0)


@pytest.mark.parametrize("width", [20, 60, 200])
def test_on_a_terminal_no_line_is_wider_and_no_text_controls_it(
    width: int, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    print_table([Night(FIRST, "held", "too many \x1b[31mrejects", rows=1_234, gate="max_reject_rate")], sys.stdout)
    said = capfd.readouterr().out
    assert "\x1b[31m" not in said
    assert all(len(line) <= width for line in said.splitlines())
    if width > 20:
        assert all(word in said for word in ("2026-11-22", "held", "1,234", "max_reject_rate", r"\x1b"))
    assert ("rejected" in said) == (width == 200)


def test_check_fails_unless_every_night_is_published(tmp_path: Path, nightly: SettingsMaker) -> None:
    shard(tmp_path)
    assert run(nightly()) == 0
    config = str(tmp_path / "job.yaml")
    Path(config).write_text(nightly().model_dump_json())
    assert nightscore("status", config, *RANGE, "--check").returncode == 0
    assert nightscore("status", config, *RANGE, "--check", "--set", "output.logits=true").returncode == 3
    ended = nightscore("status", config, "--last", "3", "--check")
    assert ended.returncode == 3
    assert ended.stdout.splitlines()[-1].startswith("3 nights: ")
    assert len(nightscore("status", config).stdout.splitlines()) == 1 + 14 + 1


def test_an_output_without_dates_is_one_line_and_has_no_nights_to_choose(
    tmp_path: Path, settings_for: SettingsMaker
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", {"text": ["a"]})
    config = str(tmp_path / "job.yaml")
    Path(config).write_text(settings_for().model_dump_json())
    assert nightscore("status", config).stdout.splitlines()[1:] == ["-      missing", "1 night: 1 missing"]
    assert nightscore("run", config, "--local").returncode == 0
    assert nightscore("status", config, "--check").returncode == 0
    line = error_line(nightscore("status", config, "--last", "3"))
    assert f"output.path: '{tmp_path}/out' has no {{date}} in it, so it has no nights to choose from" in line


@pytest.mark.parametrize(
    "options",
    [
        ["--last", "0"],
        ["--from", "2026-11-22"],
        ["--from", "2026-13-22", "--to", "2026-11-22"],
        ["--from", "2026-11-23", "--to", "2026-11-22"],
        ["--last", "1", "--timezone", "Mars/Base"],
    ],
)
def test_wrong_options_are_one_line(options: list[str], tmp_path: Path, nightly: SettingsMaker) -> None:
    (tmp_path / "job.yaml").write_text(nightly().model_dump_json())
    error_line(nightscore("status", str(tmp_path / "job.yaml"), *options))
