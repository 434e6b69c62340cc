"""A check that the output of one run is not taken for input by the next."""

from pipeline_lib.errors import SettingsError
from pipeline_lib.inputs.discovery import globs
from pipeline_lib.inputs.shards import is_shard
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of

_PART = "part-00000-000000000.parquet"
"""A file name that an output has."""


def refuse_output_in_input(paths: list[str], output: str) -> None:
    """Check that the next run would not take this output for input.

    Args:
        paths: as in `input.path`.
        output: as in `output.path`.

    Raises:
        SettingsError: the output lies in a folder of the input, or a glob of the input matches it.
    """
    part = f"{location_of(output).url}/{_PART}"
    for path in paths:
        location = location_of(path)
        start = location.url.rstrip("/")
        in_folder = part.startswith(start + "/") and not globs.has_hidden(part[len(start) :])
        in_glob = _in_glob(path, start, part)
        if in_folder != in_glob:  # only then the store is asked whether it is a glob
            with translated_errors(path, "listing the input"):
                is_glob = globs.is_glob(path, location)
            in_folder = in_glob if is_glob else in_folder
        if in_folder:
            raise SettingsError(
                f"output.path: {output!r} lies in input.path {path!r}, so the next run would read it as input; "
                "choose a folder elsewhere, or one whose name starts with '_'"
            )


def _in_glob(path: str, pattern: str, file: str) -> bool:
    """Tell whether a path, read as a glob, takes a file or a folder above it; one that can't be read takes none."""
    try:
        return globs.takes(pattern, file) or _in_matched_folder(path, pattern, file)
    except ValueError:  # the listing of the input refuses it
        return False


def _in_matched_folder(path: str, pattern: str, file: str) -> bool:
    """Tell whether a glob takes a folder above a file, with everything in it."""
    parts = file.split("/")
    for end in range(1, len(parts)):
        folder = "/".join(parts[:end])
        expanded = path.endswith("/") or is_shard(folder)
        if expanded and globs.takes(pattern, folder, folder=True) and not globs.has_hidden("/".join(parts[end:])):
            return True
    return False
