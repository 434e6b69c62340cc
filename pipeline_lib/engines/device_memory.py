"""How much memory is left for a batch or for a second copy of the model, on a GPU and beside it."""

from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_LIMIT, _USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")


def left_of_share(free: int, total: int, held: int, share: float) -> int:
    """Return the bytes of a GPU that one of its actors may still take.

    Args:
        free: bytes that nobody holds, or that this actor holds and does not use.
        total: bytes of the whole GPU.
        held: bytes that this actor uses.
        share: of the GPU that is this actor's, more than 0; more than 1 where it has several.
    """
    return max(min(free, int(total * min(share, 1.0)) - held), 0)


def left_on_gpu(share: float) -> int:
    """Return the bytes that this process may still take of its GPU; see `left_of_share`."""
    import torch

    free, total = torch.cuda.mem_get_info()
    held = torch.cuda.memory_allocated()
    return left_of_share(free + torch.cuda.memory_reserved() - held, total, held, share)


def left_on_host() -> int:
    """Return the bytes that a process of this machine or container may still take; 0 where it does not tell."""
    if not _MEMINFO.is_file():
        return 0
    fields = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
    available = int(fields["MemAvailable"].split()[0]) * 1024
    if _LIMIT.is_file() and _USED.is_file() and (limit := _LIMIT.read_text().strip()).isdigit():
        return max(min(available, int(limit) - int(_USED.read_text())), 0)
    return available
