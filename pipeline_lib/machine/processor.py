"""What the processor of this machine is called, and which instructions it has."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Processor:
    """A processor, as Linux describes it."""

    maker: str
    """Such as `GenuineIntel` or `AuthenticAMD`; empty where that is not known."""
    instructions: frozenset[str]
    """Names of what it can do beyond the oldest ones, such as `avx512f`; empty where that is not known."""


def processor() -> Processor:
    """Return this machine's processor, by `/proc/cpuinfo`; systems without that file say nothing."""
    path = Path("/proc/cpuinfo")
    about = path.read_text(errors="replace") if path.is_file() else ""
    entries = dict(_entry(line) for line in about.partition("\n\n")[0].splitlines())
    return Processor(entries.get("vendor_id", ""), frozenset(entries.get("flags", "").split()))


def _entry(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()
