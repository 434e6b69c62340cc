"""What the tests of nights share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline_lib.settings.settings import Settings
from tests.conftest import SettingsMaker


@pytest.fixture
def nightly(tmp_path: Path, settings_for: SettingsMaker) -> SettingsMaker:
    """Make settings with a place for the date in the paths of input and output."""

    def make(**sections: Mapping[str, Any]) -> Settings:
        paths = {"input": {"path": f"{tmp_path}/in/{{date}}"}, "output": {"path": f"{tmp_path}/out/ds={{date}}"}}
        return settings_for(
            **{name: {**paths.get(name, {}), **sections.get(name, {})} for name in paths | sections}
        )

    return make
