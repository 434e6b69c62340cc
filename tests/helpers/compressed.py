"""Content as compressed files have it, by the ending of their name."""

import bz2
import gzip
import sys
from collections.abc import Callable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESSIONS = ("", ".gz", ".bz2", ".zst")
KINDS = {".gz": "gzip", ".bz2": "bzip2", ".zst": "Zstandard"}
"""The names of the compressions in messages."""


def _zstandard(content: bytes) -> bytes:
    """Return what the program `zstd` writes: with a checksum, by which damage is seen."""
    return zstd.compress(content, options={zstd.CompressionParameter.checksum_flag: 1})


_COMPRESS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": _zstandard}


def compressed(content: bytes, name: str) -> bytes:
    """Return what a file of this name holds."""
    compress = _COMPRESS.get(name[name.rfind(".") :])
    return compress(content) if compress else content
