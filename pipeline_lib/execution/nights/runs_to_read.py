"""What is read in one go, by how many processes that only read, and how much of it may wait for the others."""

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from math import ceil

from ray.data import DataContext, ExecutionResources

from pipeline_lib.inputs.runs import runs_of
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.planning.plan import Plan
from pipeline_lib.settings.sections.tuning import Device

# Where processes read for themselves, each of them may decode what comes before its slices too. Up to so many bytes
# that costs less than one more process.
_BYTES_DECODED_AGAIN = 1 << 30
_WORKERS_PER_READER = 16
# A block costs the driver milliseconds; on GPUs slices are scored in less, so that some of them travel together.
_BLOCK_BYTES: dict[Device, int] = {"cpu": 1, "cuda": 4 << 20}
_BYTES_THAT_WAIT = 256 << 20
_BYTES_THAT_WAIT_FOR_EACH = 16 << 20

Run = Sequence[Slice]


def runs_to_read(todo: Mapping[int, Collection[Slice]], plans: Sequence[Plan]) -> list[Run]:
    """Return the slices that are left in runs that are read from start to end, night by night, long ones first.

    Args:
        todo: the slices that are left, by the number of their night.
        plans: of all nights.
    """
    found: list[Run] = []
    for night, parts in todo.items():
        shards = {shard.number: shard for shard in plans[night].shards}
        of_shards = groupby(parts, key=lambda part: part.shard)
        runs = [run for number, some in of_shards for run in runs_of(shards[number], some)]
        found += sorted(runs, key=lambda run: -sum(part.rows for part in run))
    return found


def reader_actors(runs: Sequence[Run], plans: Sequence[Plan], workers: int) -> int:
    """Return how many processes only read; 0 if each worker reads for itself.

    Args:
        runs: that are to be read.
        plans: of all nights.
        workers: that tokenize.
    """
    asked = plans[runs[0][0].night].settings.tuning.reader_actors
    if asked is not None:
        return min(asked, len(runs))
    read = {(run[0].night, run[0].shard) for run in runs}
    shards = ((night, shard) for night, plan in enumerate(plans) for shard in plan.shards)
    size = sum(shard.stamp.size for night, shard in shards if (night, shard.number) in read)
    is_large = size * (workers - 1) > _BYTES_DECODED_AGAIN
    return min(ceil(workers / _WORKERS_PER_READER), len(runs)) if is_large else 0


def limit_what_waits(context: DataContext, device: Device, workers: int) -> None:
    """Have readers wait when others have enough to do; else they would fill the memory that Ray has for objects.

    Args:
        context: of the dataset.
        device: of the models.
        workers: that tokenize.
    """
    context.target_max_block_size = _BLOCK_BYTES[device]
    context.execution_options.resource_limits = ExecutionResources.for_limits(
        object_store_memory=_BYTES_THAT_WAIT + workers * _BYTES_THAT_WAIT_FOR_EACH
    )
