"""Run one contender: `python -m jobs.bench.contenders NAME TASK.json`.

It leaves its answers where the task says, and its time in `TASK.timed.json`. `comparison.py` starts it.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from jobs.bench.contenders.names import CONTENDERS
from jobs.bench.contenders.task import Task


def main() -> None:
    """Run the contender that is named, on the task that is named."""
    name, path = sys.argv[1:]
    task = Task(**json.loads(Path(path).read_text()))
    timed = CONTENDERS[name](task)
    Path(path).with_suffix(".timed.json").write_text(json.dumps(asdict(timed)))


if __name__ == "__main__":
    main()
