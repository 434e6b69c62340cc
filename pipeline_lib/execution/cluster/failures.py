"""Turn Ray's long errors into errors of ours, in one line."""

import contextlib
import re
from collections.abc import Iterator

import ray

from pipeline_lib import errors
from pipeline_lib.errors import FaultError, LostWorkerError, NightscoreError


@contextlib.contextmanager
def failures_explained() -> Iterator[None]:
    """Turn an error of Ray's into the error of ours inside it, or into one line that says what failed.

    Raises:
        NightscoreError: always, when the block raises anything of Ray's.
    """
    try:
        yield
    except ray.exceptions.RayError as error:  # may be one of ours too: Ray makes classes that are both
        chain = _chain(error)
        ours = next(filter(None, map(_error_of_ours, chain)), None)
        if ours:
            raise ours from error
        # What a worker's code raised comes wrapped in a task's error; all others are Ray's own losses.
        kind = FaultError if isinstance(error, ray.exceptions.RayTaskError) else LostWorkerError
        raise kind(f"a worker failed: {type(chain[-1]).__name__}: {last_line(chain[-1])}") from error


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error and what it came from, the last one first."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = getattr(cause, "cause", None) or cause.__cause__ or cause.__context__
    return chain


def _error_of_ours(error: BaseException) -> NightscoreError | None:
    """Return the error of ours that one of Ray's is, or only quotes, as it does when an actor can't start."""
    if isinstance(error, NightscoreError) and not isinstance(error, ray.exceptions.RayError):
        return type(error)(str(error.args[0] if error.args else error))
    quoted = re.search(rf"^{errors.__name__}\.(\w+): (.+)$", str(error), re.MULTILINE)
    kind = getattr(errors, quoted[1], None) if quoted else None
    return kind(quoted[2]) if quoted and kind else None


def last_line(error: BaseException) -> str:
    """Return the last line of an error's text, cut short: Ray's own say there what happened."""
    return next((line for line in reversed(str(error).splitlines()) if line.strip()), "").strip()[:300]
