"""Failpoints: named places where tests end the process at once, as a kill or a power cut would."""

import os
import signal

FOLDER = "NIGHTSCORE_CRASH_POINTS"
"""Environment variable with a folder; a file of a point's name in it arms that point, once."""

POINTS = (
    "writer.before_part",
    "writer.after_part",
    "writer.after_rejects",
    "writer.after_receipt",
    "publisher.while_joining",
    "publisher.after_joining",
    "publisher.while_removing_slices",
    "publisher.before_take_down",
    "publisher.after_take_down",
    "publisher.while_moving",
    "publisher.after_moving",
    "publisher.after_sweep",
    "publisher.after_manifest",
    "publisher.after_success",
    "publisher.after_cleaning",
)


def reached(point: str) -> None:
    """End the process if a test armed this point; of several processes only the first one ends."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return
    try:
        os.unlink(os.path.join(folder, point))
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
