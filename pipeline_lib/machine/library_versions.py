"""Which versions of the libraries are installed here."""

import platform
from importlib.metadata import PackageNotFoundError, version

_LIBRARIES = ("nightscore", "torch", "transformers", "tokenizers", "openvino", "nncf", "ray", "pyarrow", "numpy")


def library_versions() -> dict[str, str]:
    """Return the versions of everything that can change a score."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions
