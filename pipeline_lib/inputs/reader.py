"""Read: one slice of a shard becomes one table, with the number, the text and the kept columns of each row."""

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.inputs import columns, hive_partitions
from pipeline_lib.inputs.formats.dispatch import ShardRows
from pipeline_lib.inputs.schema import OutputSchema
from pipeline_lib.inputs.shards import Shard, Slice
from pipeline_lib.settings.sections.input import InputSettings
from pipeline_lib.storage.integrity import check_unchanged
from pipeline_lib.storage.store_errors import with_retries


class Reader:
    """Reads slices into the columns of the output.

    Args:
        settings: the job's input section.
        output_schema: the columns to keep and their types.
        truth_columns: the columns with true labels.
    """

    def __init__(
        self, settings: InputSettings, output_schema: OutputSchema, truth_columns: Collection[str]
    ) -> None:
        self._settings = settings
        self._output_schema = output_schema
        self._truth_columns = truth_columns
        kept = {name for name, _ in output_schema.kept}
        # A value that is no truth must not reject its row, unless its column is published too.
        of_truth = set(truth_columns) - kept
        types = {name: kind for name, kind in settings.csv.column_types.items() if name not in of_truth}
        self._csv = settings.csv.model_copy(update={"column_types": types})
        self._open: tuple[str, ShardRows] | None = None

    def __call__(self, shard: Shard, part: Slice) -> pa.Table:
        """Return the slice's kept columns, its texts and its rejects so far, in the order of the shard.

        Raises:
            InputError: the shard can't be read.
            FaultError: the shard is no longer the one that was planned, or the storage failed, and again.
        """

        def attempt() -> pa.Table:
            try:
                return self._read(shard, part)
            except BaseException:
                self.close()  # what was open may be what failed
                raise

        return with_retries(attempt)

    def close(self) -> None:
        """Close the shard of the last slice, which stays open for the next one."""
        opened, self._open = self._open, None
        if opened:
            opened[1].close()

    def _rows_of(self, shard: Shard) -> ShardRows:
        if self._open is None or self._open[0] != shard.path:
            self.close()
            others = [self._settings.text_column, self._settings.text_pair_column, *self._truth_columns]
            wanted = [*(name for name, _ in self._output_schema.kept), *(name for name in others if name)]
            present = [name for name in dict.fromkeys(wanted) if name in shard.columns]
            self._open = shard.path, ShardRows(shard, present, self._csv)
        return self._open[1]

    def _read(self, shard: Shard, part: Slice) -> pa.Table:
        check_unchanged(shard.path, shard.stamp)
        table = self._rows_of(shard)(part)
        check_unchanged(shard.path, shard.stamp)  # also while it was read
        for name, value in hive_partitions.partition_values(shard.path, self._settings).items():
            table = table.append_column(name, pa.array([value] * table.num_rows, pa.string()))
        conformed = conform_to_schema(table, self._settings, self._output_schema)
        for name in self._truth_columns:
            if name in table.column_names:
                conformed = conformed.append_column(columns.truth_of(name), table.column(name))
        return conformed


def conform_to_schema(table: pa.Table, settings: InputSettings, output_schema: OutputSchema) -> pa.Table:
    """Return a table with the kept columns in their types of the output, and the texts in columns of their own.

    A kept column that the table lacks is null. Rows whose text is null or not valid UTF-8 are rejected here.
    """
    conformed: dict[str, pa.ChunkedArray] = {}
    for name, field in output_schema.kept:
        is_present = name in table.column_names
        column = table.column(name) if is_present else pa.chunked_array([pa.nulls(table.num_rows, field.type)])
        conformed[field.name] = column if column.type == field.type else column.cast(field.type)
    for name in (columns.ROW, columns.LINE, columns.REJECT_CODE, columns.REJECT_MESSAGE):
        conformed[name] = table.column(name)
    conformed[columns.TEXT] = _as_text(table.column(settings.text_column))
    if settings.text_pair_column:
        conformed[columns.PAIR] = _as_text(table.column(settings.text_pair_column))
    return _mark_rejects(pa.table(conformed), settings)


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a text column as bytes, which may be no valid UTF-8."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.binary_view())
    return column.cast(pa.large_binary())


def _mark_rejects(table: pa.Table, settings: InputSettings) -> pa.Table:
    text = table.column(columns.TEXT)
    faults = [(pc.is_null(text), "null_text", "the text is null")]
    for name in (columns.TEXT, columns.PAIR):
        if name in table.column_names:
            broken = _undecodable(table.column(name))
            faults.append((broken, "not_decodable", "the text is not valid UTF-8"))
    if settings.blank_texts == "reject":
        faults.append((_blank(text), "blank_text", "the text is empty or white space"))
    code, message = table.column(columns.REJECT_CODE), table.column(columns.REJECT_MESSAGE)
    for rows, name, why in faults:
        new = pc.and_(pc.fill_null(rows, fill_value=False), pc.is_null(code))
        code, message = pc.if_else(new, name, code), pc.if_else(new, why, message)
    for name, column in ((columns.REJECT_CODE, code), (columns.REJECT_MESSAGE, message)):
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


def _undecodable(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        texts.cast(pa.large_string())
    except pa.ArrowInvalid:
        return pa.chunked_array([pa.array([not _decodes(text) for text in texts.to_pylist()])])
    return pa.chunked_array([pa.repeat(pa.scalar(value=False), len(texts))])


def _decodes(text: bytes | None) -> bool:
    try:
        (text or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def _blank(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array([not text.strip() for text in _decoded(texts)], pa.bool_())])


def _decoded(texts: pa.ChunkedArray) -> list[str]:
    return [(text or b"").decode(errors="replace") for text in texts.to_pylist()]
