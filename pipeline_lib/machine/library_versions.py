"""Which versions of the libraries are installed here."""

import platform
from importlib.metadata import PackageNotFoundError, version

_LIBRARIES = ("nightscore", "torch", "transformers", "tokenizers", "openvino", "ray", "pyarrow", "numpy")


def library_versions() -> dict[str, str]:
    """Return the versions of everything that has a hand in a score."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
