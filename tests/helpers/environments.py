"""Environments of programs that start or use a Ray of their own."""

import os
import sys
from pathlib import Path

BIN = Path(sys.executable).parent


def environment_of(home: Path) -> dict[str, str]:
    """Return the environment of a user with that home, who has set nothing for Ray and finds our programs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "HOME": str(home), "PATH": path}
