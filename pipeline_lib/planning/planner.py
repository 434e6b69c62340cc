"""The planner: decides, before work starts, how slices are computed and which of them are left to score."""

import dataclasses
from collections.abc import Callable, Sequence

from pipeline_lib.checkpoints.checkpoint import Checkpoint
from pipeline_lib.engines.computation import Computation, check_device, computation_of
from pipeline_lib.engines.inspection.inspector import inspect_checkpoint
from pipeline_lib.errors import SettingsError
from pipeline_lib.inputs.shard_inspection import SeenInput, inspect_shards, with_slice_offsets
from pipeline_lib.inputs.shards import Shard
from pipeline_lib.planning.discovery import Discovery
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.resume import shard_numbers
from pipeline_lib.planning.resume.earlier_work import EarlierWork, find_earlier_work, refuse_lost_shards
from pipeline_lib.planning.resume.output_state import OutputState, read_output
from pipeline_lib.planning.resume.score_reuse import Reusable, reusable_slices
from pipeline_lib.planning.resume.verification import finished_slices, with_whole_files
from pipeline_lib.planning.truth import truth_labels
from pipeline_lib.planning.version import fingerprint_of, version_of
from pipeline_lib.settings.sections.tuning import Device
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.records import Manifest, Receipt

PacksOnGpus = Callable[[Settings, Checkpoint], bool]
"""Tells whether the GPUs compute packed rows of a checkpoint right."""

Inspect = Callable[[Settings], Checkpoint]
"""Inspects the checkpoint that the settings name."""


def _never(*_: object) -> bool:
    return False


def make_plan(
    discovery: Discovery,
    device: Device = "cpu",
    packs_on_gpus: PacksOnGpus = _never,
    inspect: Inspect = inspect_checkpoint,
) -> Plan:
    """Return the plan of a run, from an inspection of the checkpoint, of every shard and of earlier work.

    Args:
        discovery: the shards and the output.
        device: the kind of device that the model actors will have.
        packs_on_gpus: asked only where rows may be packed.
        inspect: inspects the checkpoint.

    Raises:
        NightscoreError: of the kind whose exit code tells who can correct it; see `errors`.
    """
    settings = discovery.settings
    check_device(settings, device)
    _refuse_int8_without_limits(settings)
    checkpoint = inspect(settings)
    truth_labels(settings, checkpoint)  # refuses a mapping to a label that the model lacks
    computation = _computation(discovery, checkpoint, device, packs_on_gpus)
    fingerprint = fingerprint_of(settings, checkpoint, discovery.output_schema, computation)
    version = version_of(fingerprint)
    # Refuses an output that holds something else, before every shard is read.
    earlier = find_earlier_work(discovery.output, version, fingerprint, settings, replace=discovery.replace)
    plan = Plan(
        settings=settings,
        checkpoint=checkpoint,
        output_schema=discovery.output_schema,
        computation=computation,
        fingerprint=fingerprint,
        version=version,
        truth_columns=(settings.input.truth_column,) if settings.input.truth_column else (),
        shards=inspect_shards(discovery.stamps, discovery.headers, settings, discovery.seen),
        notices=discovery.notices,
        may_replace=discovery.replace,
    )
    return _without_earlier_work(plan, discovery.output, earlier, discovery.seen)


def _refuse_int8_without_limits(settings: Settings) -> None:
    """Refuse int8 that nothing holds to float32: how far it is off depends on the checkpoint and on the texts."""
    for name, example in (("max_precision_drift", 0.3), ("max_precision_flips", 0.05)):
        if settings.model.precision == "int8" and getattr(settings.limits, name) is None:
            raise SettingsError(
                f"model.precision: int8 is published only within limits.{name}, which is not set; such as {example}"
            )


def refresh_plan(plan: Plan, discovery: Discovery) -> Plan:
    """Return the plan for the output as it is now; files that did not change since discovery are not read again.

    Raises:
        OutputError: what is published there may not be replaced.
    """
    output = read_output(plan.settings.output.path, discovery.output)
    earlier = find_earlier_work(output, plan.version, plan.fingerprint, plan.settings, replace=plan.may_replace)
    return _without_earlier_work(plan, output, earlier, discovery.seen)


def _computation(
    discovery: Discovery, checkpoint: Checkpoint, device: Device, packs_on_gpus: PacksOnGpus
) -> Computation:
    """Return how the checkpoint is computed; a version that was begun is continued without asking the GPUs."""
    plain = computation_of(discovery.settings, checkpoint, device)
    if device == "cpu" or not checkpoint.packs_safely:
        return plain
    packed = computation_of(discovery.settings, checkpoint, device, packed=True)
    for each in (packed, plain):
        fingerprint = fingerprint_of(discovery.settings, checkpoint, discovery.output_schema, each)
        if version_of(fingerprint) in discovery.output.versions:
            return each
    return packed if packs_on_gpus(discovery.settings, checkpoint) else plain


def _without_earlier_work(plan: Plan, output: OutputState, earlier: EarlierWork, seen: SeenInput) -> Plan:
    """Return a plan in which slices whose files verify are finished, and published scores are taken over."""
    url = plan.settings.output.path
    numbers = earlier.shard_numbers
    has_new = any(shard.path not in numbers for shard in plan.shards)
    shards = shard_numbers.assign(plan.shards, numbers, shard_numbers.read(url, plan.version) if has_new else {})
    if not plan.may_replace:
        refuse_lost_shards(earlier.published or earlier.same_scores, shards)
    work = finished_slices(output, shards, earlier.receipts, earlier.joined)
    finished = {(each.shard, each.first_row) for each in work.finished}
    located = with_slice_offsets(shards, finished, plan.settings, seen)
    if located != shards:  # a shard may have other rows than its manifest says
        shards = located
        work = finished_slices(output, shards, earlier.receipts, earlier.joined)
    return dataclasses.replace(
        plan,
        shards=shards,
        finished=work.finished,
        joined=work.joined,
        has_staged=work.is_staged,
        own_files=earlier.own_files & {(each.shard, each.first_row) for each in work.finished},
        published=earlier.published,
        replaced=earlier.replaced,
        counted=earlier.counted,
        reusable=_reusable(output, shards, earlier.same_scores) if earlier.same_scores else {},
        damaged_files=work.damaged,
        foreign_files=earlier.foreign_files,
        needs_cleanup=earlier.needs_cleanup,
    )


def _reusable(output: OutputState, shards: tuple[Shard, ...], published: Manifest) -> Reusable:
    def whole(receipts: Sequence[Receipt]) -> Sequence[Receipt]:
        return with_whole_files(output, receipts, published.files).finished

    return reusable_slices(published, shards, whole)
