"""Discovery: list the shards and the output and compare all columns, within seconds and before Ray starts."""

import datetime as dt
import os
from dataclasses import dataclass, field

from pipeline_lib.checkpoints.fetching import local_folder
from pipeline_lib.errors import InputNotReadyError, SettingsError
from pipeline_lib.inputs import columns, hive_partitions, shard_cache
from pipeline_lib.inputs.column_checks import check_truth_column
from pipeline_lib.inputs.discovery.listing import DiscoveredShards, find_shards
from pipeline_lib.inputs.discovery.output_in_input import refuse_output_in_input
from pipeline_lib.inputs.hive_partitions import with_partitions
from pipeline_lib.inputs.schema import OutputSchema, unify_schemas
from pipeline_lib.inputs.shard_inspection import SeenInput, read_headers
from pipeline_lib.inputs.shards import ShardHeader
from pipeline_lib.planning.resume.output_state import OutputState, read_output
from pipeline_lib.settings.sections.input import InputSettings
from pipeline_lib.settings.settings import Settings
from pipeline_lib.storage.location import FileStamp
from pipeline_lib.storage.urls import check_store_answers, location_of


@dataclass(frozen=True)
class Discovery:
    """What a plan is made from."""

    settings: Settings
    """With paths that mean the same on every machine."""
    stamps: dict[str, FileStamp]
    """Every shard's stamp, by path."""
    headers: dict[str, ShardHeader]
    output_schema: OutputSchema
    notices: tuple[str, ...]
    """For the user; none of them is an error."""
    replace: bool
    """Whether what is published may be replaced by another version, or without shards that are gone."""
    output: OutputState
    """The output folder, before anything is written."""
    seen: SeenInput = field(default_factory=SeenInput)
    """What is known of the shards, also by plans of other jobs that read them."""

    @property
    def has_earlier_work(self) -> bool:
        """Whether something is published or staged in the output, so that there may be nothing left to score."""
        return bool(self.output.versions)


def open_output(settings: Settings) -> tuple[Settings, OutputState]:
    """Return settings whose paths mean the same on every machine, and the state of the output; nothing is written.

    Args:
        settings: with dates filled in.

    Raises:
        SettingsError: the output lies in the input, or in a folder that Ray deletes.
        NightscoreError: the output can't be listed, or is none of this job's; see `read_output`.
    """
    settings = _for_every_machine(settings)
    refuse_output_in_input(settings.input.paths, settings.output.path)
    return settings, read_output(settings.output.path)


def discover(
    settings: Settings,
    *,
    date: dt.date | None = None,
    replace: bool = False,
    output: OutputState | None = None,
    seen: SeenInput | None = None,
) -> Discovery:
    """List the shards and the output, and compare the columns of all shards; nothing is written.

    Args:
        settings: with dates filled in.
        date: the day that was filled in, if any; its input may come later.
        replace: whether what is published may be replaced by another version or without shards that are gone.
        output: the state of the output, if `open_output` returned it with these settings; else it is listed here.
        seen: what other jobs found by now that have the same input.

    Raises:
        NightscoreError: of the kind whose exit code tells who can correct it; see `errors`.
    """
    for url in settings.input.paths:
        check_store_answers(url)
    local_folder(settings.model)  # refuses a wrong name at once
    if output is None:
        settings, output = open_output(settings)
    seen = seen or SeenInput()
    seen.listed = shards = seen.listed or _find_shards(settings.input, date)
    headers = _headers(shards.stamps, settings, output, seen)
    schemas, partitions = with_partitions({path: headers[path].schema for path in headers}, settings.input)
    check_truth_column(schemas, settings.input)
    output_schema, notices = unify_schemas(schemas, settings.input, partitions, columns.asked_columns(settings))
    return Discovery(
        settings=settings,
        stamps=shards.stamps,
        headers=headers,
        output_schema=output_schema,
        notices=(*shards.notices, *hive_partitions.notices(shards.stamps, settings.input), *notices),
        replace=replace,
        output=output,
        seen=seen,
    )


def _for_every_machine(settings: Settings) -> Settings:
    """Return settings whose paths mean the same on every machine: relative ones made absolute.

    Raises:
        SettingsError: the output lies in a folder that Ray deletes.
    """
    model, output = settings.model, settings.output
    folder = location_of(output.path)
    # Ray unpacks here what `ray job submit --working-dir` sends, and deletes the copy when it likes.
    if folder.is_local and "/runtime_resources/working_dir_files/" in folder.path:
        raise SettingsError(
            f"output.path: {output.path!r} lies in Ray's temporary copy of the working folder, {folder.path!r}, "
            "which Ray deletes; give a path from the root, such as '/data/scores', or a bucket"
        )
    output = output.model_copy(update={"path": folder.url})
    if os.path.isdir(model.name):
        model = model.model_copy(update={"name": os.path.abspath(model.name)})
    return settings.model_copy(update={"model": model, "output": output})


def _find_shards(settings: InputSettings, date: dt.date | None) -> DiscoveredShards:
    try:
        return find_shards(settings.paths, dated=date is not None)
    except InputNotReadyError as error:
        raise InputNotReadyError(f"the input of {date} is not there yet: {error}") from None


def _headers(
    stamps: dict[str, FileStamp], settings: Settings, output: OutputState, seen: SeenInput
) -> dict[str, ShardHeader]:
    """Return every shard's header, from the manifest if the shard is the one that was published."""
    known: dict[str, ShardHeader] = {}
    if output.manifest and output.is_complete:
        known = shard_cache.unchanged_headers(output.manifest, stamps, settings.input)
    read = read_headers([path for path in stamps if path not in known], settings, seen)
    return {path: known.get(path) or read[path] for path in stamps}
