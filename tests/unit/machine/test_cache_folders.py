"""What is kept in the home is this user's alone; where it could be another's, it is refused."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline_lib.engines.inspection.inspector import inspect_checkpoint
from pipeline_lib.errors import CheckpointError, SettingsError
from pipeline_lib.machine.cache_folders import cache_folder, read_own
from pipeline_lib.settings.settings import Settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home without caches, below which everyone may make folders."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    before = os.umask(0)
    yield tmp_path / "home"
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_all_that_is_made_is_for_this_user_alone(home: Path) -> None:
    inner = cache_folder("openvino", "1")
    assert inner == home / "nightscore" / "openvino" / "1"
    assert [_mode(path) for path in (inner, inner.parent, inner.parent.parent)] == [0o700] * 3


def test_what_others_may_only_read_is_closed_to_them(home: Path) -> None:
    (home / "nightscore" / "inspections").mkdir(parents=True, mode=0o755)
    (home / "nightscore").chmod(0o755)
    cache_folder("inspections")
    assert [_mode(home / "nightscore"), _mode(home / "nightscore" / "inspections")] == [0o700, 0o700]


@pytest.mark.parametrize("names", [("nightscore",), ("nightscore", "inspections")], ids=["outer", "inner"])
@pytest.mark.parametrize("planted", ["a link", "no folder", "writable by others", "another user's"])
def test_what_may_be_anothers_is_refused_with_its_name(
    planted: str, names: tuple[str, ...], home: Path, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    path = home.joinpath(*names)
    path.parent.mkdir(parents=True, mode=0o700)
    if planted == "a link":
        (tmp_path / "elsewhere").mkdir()
        path.symlink_to(tmp_path / "elsewhere")
    elif planted == "no folder":
        path.write_text("in the way")
    else:
        path.mkdir(mode=0o700)
        if planted == "writable by others":
            path.chmod(0o777)
        elif os.geteuid() == 0:
            os.chown(path, 12345, -1)
        else:
            pytest.skip("only root can give a folder to another user")
    with pytest.raises(SettingsError, match=r"the cache '.*nightscore.*; remove it, or name another place"):
        inspect_checkpoint(settings_for())
    assert not (tmp_path / "elsewhere").exists() or not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("kind", ["link", "pipe", "another user's"])
def test_a_file_that_may_be_anothers_is_not_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "note"
    if kind == "link":
        (tmp_path / "real").write_text("x")
        path.symlink_to(tmp_path / "real")
    elif kind == "pipe":
        os.mkfifo(path)
    elif os.geteuid() == 0:
        path.write_text("x")
        os.chown(path, 12345, -1)
    else:
        pytest.skip("only root can give a file to another user")
    with pytest.raises(OSError, match=r"note"):
        read_own(path)


def test_a_checkpoint_of_a_url_without_a_place_to_fetch_it_to(
    checkpoint: Path, home: Path, settings_for: Callable[..., Settings]
) -> None:
    home.write_text("in the way")
    with pytest.raises(CheckpointError, match=r"no place to fetch 'file:.*; name one in XDG_CACHE_HOME"):
        inspect_checkpoint(settings_for(model={"name": f"file://{checkpoint}"}))
