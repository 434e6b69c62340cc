"""Changes of the manifest of a published output."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def change_manifest(out: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the manifest of an output, and `_SUCCESS` so that it fits."""
    manifest = json.loads((out / "_manifest.json").read_text())
    change(manifest)
    content = json.dumps(manifest).encode()
    (out / "_manifest.json").write_bytes(content)
    success = json.loads((out / "_SUCCESS").read_text())
    success |= {name: manifest[name] for name in ("version", "rows", "scored", "rejected")}
    success["manifest_sha256"] = hashlib.sha256(content).hexdigest()
    (out / "_SUCCESS").write_text(json.dumps(success))
