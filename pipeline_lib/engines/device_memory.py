"""How much memory is left for a batch or for a second copy of the model, on a GPU and beside it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline_lib.engines.batching import BatchMemory, fit_batch_memory
from pipeline_lib.engines.engine import Engine, Ids, is_out_of_memory

_MEMINFO = Path("/proc/meminfo")
_LIMIT, _USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
_MEASURED_TOKENS = 4_096
_SHORT, _LONG = 64, 512


def free_bytes_of_share(free: int, total: int, held: int, share: float) -> int:
    """Return the bytes of a GPU that one of its actors may still take.

    Args:
        free: bytes that are not allocated, or that this actor has reserved and does not use.
        total: bytes of the whole GPU.
        held: bytes that this actor uses.
        share: of the GPU that is this actor's, more than 0; more than 1 where it has several.
    """
    return max(min(free, int(total * min(share, 1.0)) - held), 0)


def free_gpu_bytes(share: float) -> int:
    """Return the bytes that this process may still take of its GPU; see `free_bytes_of_share`."""
    import torch

    free, total = torch.cuda.mem_get_info()
    held = torch.cuda.memory_allocated()
    return free_bytes_of_share(free + torch.cuda.memory_reserved() - held, total, held, share)


def free_host_bytes() -> int:
    """Return the bytes that a process of this machine or container may still take; 0 where that is not known."""
    if not _MEMINFO.is_file():
        return 0
    fields = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
    available = int(fields["MemAvailable"].split()[0]) * 1024
    if _LIMIT.is_file() and _USED.is_file() and (limit := _LIMIT.read_text().strip()).isdigit():
        return max(min(available, int(limit) - int(_USED.read_text())), 0)
    return available


def measure_batch_memory(engine: Engine, probe: Sequence[int], limit: int | None, share: float) -> BatchMemory:
    """Measure the memory that this GPU has for a batch beside the model, and what batches need.

    Half of what is left of this actor's share is counted on; batches that are too large even so are halved.

    Args:
        engine: on the GPU.
        probe: token ids that the model answers.
        limit: longest row in tokens; None where nothing limits it.
        share: of the GPU that is this actor's.
    """
    short, long = measured_lengths(limit)
    usable = free_gpu_bytes(share) // 2
    little = _bytes_of_row(engine, probe, short)
    try:
        much = _bytes_of_row(engine, probe, long)
    except Exception as error:  # a single row may be too much; batches of such rows are halved when they come
        if not is_out_of_memory(error):
            raise
        long, much = short, little
    return fit_batch_memory(usable, (short, little), (long, much))


def measured_lengths(limit: int | None) -> tuple[int, int]:
    """Return the lengths of rows whose memory is measured: a short one, and the longest that may come."""
    longest = limit or _LONG
    return min(_SHORT, longest), longest


def row_of_length(probe: Sequence[int], length: int) -> Ids:
    """Return a row of some length: a longer one repeats ids in the middle of the probe, a shorter one is cut."""
    ids, middle = np.array(probe, np.int32), len(probe) // 2
    if length <= len(ids):
        return ids[:length]
    return np.concatenate([ids[:middle], np.resize(ids, length - len(ids)), ids[middle:]])


def _bytes_of_row(engine: Engine, probe: Sequence[int], length: int) -> float:
    import torch

    rows = [row_of_length(probe, length)] * max(_MEASURED_TOKENS // length, 1)
    types = [np.zeros_like(row) for row in rows]
    engine.logits(rows, types)  # at the first batch, libraries allocate memory of their own
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    engine.logits(rows, types)
    return (torch.cuda.max_memory_allocated() - before) / len(rows)
