"""How each format of a schedule writes a text, so that it reads the same text back."""

import glob
import json
import math
import shlex
from collections.abc import Sequence
from typing import Any

import yaml

from pipeline_lib.errors import SettingsError

# Debian's cron takes no longer command.
_LONGEST_CRON_COMMAND = 990


def shell_words(words: Sequence[str]) -> str:
    """Return words as a command line of a POSIX shell."""
    return shlex.join(words)


def cron_command(command: str) -> str:
    """Return a shell's command line as the last field of a line of a crontab.

    Cron replaces a percent sign by a line break unless a backslash stands before it (crontab(5)). What it does with
    two backslashes differs between the programs called cron.

    Raises:
        SettingsError: the command has a backslash, or is longer than cron takes.
    """
    if "\\" in command:
        raise SettingsError(f"cron has no safe way to write a backslash; use another path or setting: {command}")
    escaped = command.replace("%", "\\%")
    if len(escaped.encode()) > _LONGEST_CRON_COMMAND:
        raise SettingsError(
            f"the line for cron would have a command of {len(escaped.encode()):,} bytes, and cron takes "
            f"{_LONGEST_CRON_COMMAND}; put what --set changes into the settings file"
        )
    return escaped


def systemd_path(path: str) -> str:
    """Return a path as the value of a setting that takes one path, such as `WorkingDirectory` (systemd.unit(5)).

    Raises:
        SettingsError: systemd would read another path: white space or a backslash at the end.
    """
    if path != path.strip(" ") or path.endswith("\\"):
        raise SettingsError(f"systemd can't read a path that ends with white space or a backslash: {path!r}")
    return path.replace("%", "%%")


def systemd_file(path: str) -> str:
    """Return a path for `EnvironmentFile`, which takes `*`, `?` and `[` for a pattern (systemd.exec(5))."""
    return systemd_path(glob.escape(path))


def systemd_words(words: Sequence[str]) -> str:
    """Return words as the value of `ExecStart` (systemd.service(5), "Command lines").

    Variables are not replaced in the path of the program. That path can't have quotes or backslashes, so a shell
    starts a program with such a path.
    """
    if set(words[0]) & set("\"'\\"):
        words = ["/bin/sh", "-c", 'exec "$0" "$@"', *words]
    program, *arguments = words
    return " ".join([_systemd_word(program), *(_systemd_word(word).replace("$", "$$") for word in arguments)])


def yaml_value(value: Any) -> str:
    """Return a text, number or list of texts as YAML on one line; all texts are quoted."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(yaml_value(each) for each in value)}]"
    if not isinstance(value, str):
        return json.dumps(value)
    return yaml.safe_dump(value, default_style='"', allow_unicode=True, width=math.inf).strip()


def yaml_document(value: Any) -> str:
    """Return a nested value as a document of YAML, with texts of many lines as blocks that people can read."""
    return yaml.dump(value, Dumper=_BlockDumper, allow_unicode=True, width=math.inf, sort_keys=False)


def python_text(text: str) -> str:
    """Return a text as a literal of Python, with the quotes that formatters like."""
    return json.dumps(text, ensure_ascii=False)


def _systemd_word(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


class _BlockDumper(yaml.SafeDumper):
    """Writes texts of many lines as literal blocks where YAML can."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_BlockDumper.add_representer(str, _text)
