"""How several processes share the tests (`pytest -n 2`): by files, and one process has the only Ray."""

import re
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

_RAY = re.compile(r"\b(one_ray|run_job)\b")


class OneRayScheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Gives each file of tests to one process, and all files that need the shared Ray to the same one.

    The mark `xdist_group` would say so test by test, but pytest 9.2 and pytest-xdist 3.8 together ignore it:
    https://github.com/pytest-dev/pytest-xdist/issues/1386
    """

    def _split_scope(self, nodeid: str) -> str:
        file = self.config.rootpath / nodeid.partition("::")[0]
        return "ray" if needs_ray(file) else str(file)


@cache
def needs_ray(file: Path) -> bool:
    """Return whether tests of a file use the shared Ray; its text says so also where nothing is collected."""
    return bool(_RAY.search(file.read_text(encoding="utf-8")))
