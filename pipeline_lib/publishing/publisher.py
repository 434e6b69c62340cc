"""Publish: count the rows again, check the gates, move the parts into place, and write `_SUCCESS` last."""

import contextlib
from collections.abc import Sequence

from pipeline_lib.errors import BusyError, FaultError
from pipeline_lib.machine.failpoints import reached
from pipeline_lib.machine.parallel import in_threads
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.resume import shard_numbers
from pipeline_lib.publishing.accounting import (
    CurrentFiles,
    check_rows_add_up,
    current_files,
    published_stamps,
)
from pipeline_lib.publishing.files.joining import Hooks, joined_files
from pipeline_lib.publishing.gates import check_gates
from pipeline_lib.publishing.manifest import manifest_of, success_of, with_etags
from pipeline_lib.publishing.night_statistics import NightStatistics
from pipeline_lib.storage import cleanup
from pipeline_lib.storage.integrity import check_unchanged
from pipeline_lib.storage.lease import leased
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.records import (
    MANIFEST,
    REJECTS,
    STAGING,
    SUCCESS,
    Manifest,
    Receipt,
    parse,
    staged_names,
)
from pipeline_lib.storage.store_errors import translated_errors
from pipeline_lib.storage.urls import location_of


def prepare_output(plan: Plan) -> None:
    """Make the output ready for a run: remove partial files of crashed runs, set aside files that do not verify.

    The numbers of the shards are written before the first slice is scored, so that a run after a kill has them too.
    """
    url = plan.settings.output.path
    output = location_of(url)
    with translated_errors(url, "cleaning up after crashed runs"):
        cleanup.remove_partial_files(output, plan.version)
        staging = f"{STAGING}/{plan.version}/"
        damaged = [path.removeprefix(staging) for path in plan.damaged_files if path.startswith(staging)]
        cleanup.set_aside(output, output / STAGING / plan.version, damaged)
    shard_numbers.save(url, plan.version, plan.shards)


def publish(
    plan: Plan,
    receipts: Sequence[Receipt],
    hooks: Hooks,
    night: NightStatistics,
    accept: str | None = None,
) -> Manifest:
    """Make the slices' files the published version and return its manifest.

    Readers that wait for `_SUCCESS`, and read it again after the data, see all of the version or none of it.

    Args:
        plan: the run's plan.
        receipts: of every slice of the plan, in any order.
        hooks: what is called on the way, such as the check that this run may change what readers see.
        night: what is counted of it, and how it compares with earlier ones.
        accept: why the result is published if a gate stops it.

    Raises:
        GateError: a limit of the settings was exceeded; everything stays staged, and a published version stays.
        FaultError: the files don't add up to the input, a shard changed, or the storage failed.
        BusyError: another run holds the output now.
    """
    output = location_of(plan.settings.output.path)
    ordered = sorted(receipts, key=lambda receipt: (receipt.shard, receipt.first_row))
    with translated_errors(plan.settings.output.path, "publishing"):
        # A slice may have been read before its shard changed.
        list(in_threads(lambda shard: check_unchanged(shard.path, shard.stamp), plan.shards))
        manifest = manifest_of(plan, ordered, night)
        manifest = manifest.model_copy(update={"accepted": check_gates(plan, manifest, night.drift, accept)})
        joined = joined_files(plan, ordered, hooks)
        manifest = manifest.model_copy(update={"files": joined.files})
        published = manifest.published
        current = current_files(published, output, output.files() | joined.stamps)
        check_rows_add_up(plan, published, current)
        reached("publisher.before_take_down")
        hooks.confirm()
        # Readers wait while parts are added to the published ones.
        (output / SUCCESS).remove()
        reached("publisher.after_take_down")
        cleanup.set_aside(output, output, [path for path in plan.damaged_files if not path.startswith(STAGING)])
        _move(output, current)
        reached("publisher.after_moving")
        files = output.files()
        stamps = published_stamps(output, current, manifest.published_files, files)
        manifest = with_etags(manifest, stamps)
        former = parse(Manifest, (output / MANIFEST).read())
        cleanup.remove_unlisted_files(output, manifest, former, files)
        reached("publisher.after_sweep")
        hooks.confirm()
        content = manifest.to_bytes()
        (output / MANIFEST).write(content)
        reached("publisher.after_manifest")
        (output / SUCCESS).write(success_of(manifest, content).to_bytes())
        reached("publisher.after_success")
        cleanup.remove_staging(output, known=staged_names(ordered, joined.files))
        reached("publisher.after_cleaning")
    return manifest


def finish_cleanup(plan: Plan) -> None:
    """Remove the staged files of a published version that a run could not remove; not while another run works."""
    if not plan.needs_cleanup:
        return
    url = plan.settings.output.path
    with contextlib.suppress(BusyError), leased(url), translated_errors(url, "cleaning"):
        output = location_of(url)
        cleanup.remove_staging(output, plan.version)
        cleanup.remove_probes(output, output.files())


def _move(output: Location, current: CurrentFiles) -> None:
    """Move files into place; in a store they are copied, and the staged ones removed all together at the end."""

    def move(name: str) -> None:
        file = current[name]
        if file.path == name:
            return
        try:
            if output.is_local:
                (output / file.path).move_to(output / name)
            else:
                (output / file.path).copy_to(output / name, file.stamp.size)
        except FileNotFoundError as error:
            raise FaultError(f"{file.path!r} was removed while it was published; run again") from error
        reached("publisher.while_moving")

    list(in_threads(move, current))
    output.sync()
    (output / REJECTS).sync()
