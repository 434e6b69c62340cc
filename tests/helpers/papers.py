"""Examples of the README, for the tests that run them."""

import re

from tests.conftest import ROOT


def section(title: str) -> str:
    """Return the README's section whose title starts so."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (found,) = [part for part in re.split(r"^## ", text, flags=re.MULTILINE) if part.startswith(title)]
    return found


def examples(title: str) -> list[tuple[str, str, str]]:
    """Return the code blocks of a section: language, code, and the file name that the line above each one gives."""
    blocks = re.findall(r"^([^\n]*)\n\n```(\w+)\n(.*?)^```", section(title), flags=re.MULTILINE | re.DOTALL)
    names = [re.findall(r"`([\w.]+)`:?$", above) for above, _, _ in blocks]
    return [(language, code, (name or [""])[0]) for (_, language, code), name in zip(blocks, names, strict=True)]


def commands(code: str) -> list[str]:
    """Return the commands of a block for a shell, without comments, with continued lines joined."""
    return [line.partition("  #")[0].strip() for line in code.replace("\\\n", " ").splitlines()]
