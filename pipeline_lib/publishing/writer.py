"""Write: a scored slice becomes one part, one file of rejects if it has any, and a receipt of both."""

import hashlib
import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline_lib.engines.computation import computed_by_in
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.shards import Slice
from pipeline_lib.machine.failpoints import reached
from pipeline_lib.planning.plan import Plan
from pipeline_lib.planning.truth import truth_settings
from pipeline_lib.publishing.files.row_groups import COMPRESSION
from pipeline_lib.publishing.files.schemas import reject_schema, scored_schema
from pipeline_lib.publishing.slice_statistics import COUNTED, evaluation_of, statistics_of
from pipeline_lib.scoring.precision_drift import drift_of
from pipeline_lib.storage.location import Location
from pipeline_lib.storage.records import REJECTS, STAGING, FileRecord, Receipt
from pipeline_lib.storage.store_errors import translated_errors, with_retries
from pipeline_lib.storage.urls import location_of


class Writer:
    """Writes slices below `_staging/<version>/` of the output folder.

    Args:
        plan: the run's plan, which has the schemas and the version.
    """

    def __init__(self, plan: Plan) -> None:
        self._version = plan.version
        self._truth_settings = truth_settings(plan.settings.model_dump(mode="json", include={"input"}))
        self._labels = plan.checkpoint.labels, plan.checkpoint.activation
        self._url = f"{plan.settings.output.path.rstrip('/')}/{STAGING}/{plan.version}"
        self._scored, self._rejects = scored_schema(plan), reject_schema(plan)
        self._names = [field.name for field in (*plan.output_schema.kept_fields, *plan.score_fields)]
        self._reusable = plan.reusable
        self._shards = {shard.number: shard for shard in plan.shards}

    def __call__(self, table: pa.Table, part: Slice) -> Receipt:
        """Write a slice's files, each completely or not at all, then its receipt.

        Raises:
            FaultError: the storage failed, and all retries too.
        """
        return with_retries(lambda: self._write(table, part))

    def _write(self, table: pa.Table, part: Slice) -> Receipt:
        shard = self._shards[part.shard]
        reused = self._reusable.get((part.shard, part.first_row))
        is_scored = pc.is_null(table.column(columns.REJECT_CODE))
        scored = _where(is_scored, table.select(self._names)).rename_columns(self._scored.names)
        counted = _where(is_scored, table.select([name for name in COUNTED if name in table.column_names]))
        rejected = _reject_rows(_where(pc.invert(is_scored), table), shard.path, self._rejects)
        reject_codes = _counts(rejected.column(columns.CODE))
        statistics = statistics_of(counted, reject_codes, *self._labels)
        truth = evaluation_of(counted, *self._labels)
        staging = location_of(self._url)
        with translated_errors(self._url, "writing"):
            reached("writer.before_part")
            written = _write(staging, f"{part.name}.parquet", scored.cast(self._scored))
            reached("writer.after_part")
            rejects = _write(staging, f"{REJECTS}/{part.name}.parquet", rejected) if len(rejected) else None
            reached("writer.after_rejects")
            receipt = Receipt(
                version=self._version,
                shard=shard.number,
                path=shard.path,
                size=shard.stamp.size,
                content=shard.content,
                first_row=part.first_row,
                rows=part.rows,
                part=written,
                rejects=rejects,
                drift=reused.drift if reused else drift_of(table),
                computed_by=reused.computed_by if reused else computed_by_in(table),
                labels=_counts(counted.column(columns.LABEL)),
                reject_codes=reject_codes,
                statistics=statistics.to_json() if statistics else None,
                truth=truth.to_json() if truth else None,
                truth_settings=self._truth_settings if truth else None,
            )
            (staging / f"{part.name}.json").write(receipt.to_bytes())
            reached("writer.after_receipt")
        return receipt


def _where(mask: pa.ChunkedArray, table: pa.Table) -> pa.Table:
    """Return the rows where a mask is true; Arrow can't filter string views and binary views itself yet."""
    plain = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    schema = pa.schema([field.with_type(plain.get(field.type, field.type)) for field in table.schema])
    return table.cast(schema).filter(mask).cast(table.schema)


def _counts(values: pa.ChunkedArray) -> dict[str, int]:
    """Return the number of rows by value, sorted by value."""
    return dict(sorted((pair["values"], pair["counts"]) for pair in pc.value_counts(values).to_pylist()))


def _reject_rows(table: pa.Table, shard: str, schema: pa.Schema) -> pa.Table:
    reject_columns = {
        columns.SHARD_PATH: pa.array([shard] * table.num_rows, pa.string()),
        columns.ROW_NUMBER: table.column(columns.ROW),
        columns.LINE_NUMBER: table.column(columns.LINE),
        columns.CODE: table.column(columns.REJECT_CODE),
        columns.MESSAGE: table.column(columns.REJECT_MESSAGE),
        columns.REJECTED_TEXT: _decoded_texts(table, columns.TEXT),
        columns.REJECTED_PAIR: _decoded_texts(table, columns.PAIR),
    }
    kept = {name: table.column(name) for name in schema.names if name not in reject_columns}
    return pa.table({**reject_columns, **kept}).select(schema.names).cast(schema)


def _decoded_texts(table: pa.Table, name: str) -> pa.Array:
    """Return texts, with U+FFFD for undecodable bytes; nulls if the flow has dropped the column by now."""
    if name not in table.column_names:
        return pa.nulls(table.num_rows, pa.string())
    texts = table.column(name).to_pylist()
    return pa.array([None if text is None else text.decode(errors="replace") for text in texts], pa.string())


def _write(folder: Location, name: str, table: pa.Table) -> FileRecord:
    """Write a Parquet file and return its record; the same rows give the same bytes."""
    buffer = io.BytesIO()
    pq.write_table(table.combine_chunks().unify_dictionaries(), buffer, compression=COMPRESSION)
    content = buffer.getvalue()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    etag = (folder / name).write(content)
    return FileRecord(
        file=name,
        rows=table.num_rows,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        md5=md5,
        etag=None if etag == md5 else etag,
    )
