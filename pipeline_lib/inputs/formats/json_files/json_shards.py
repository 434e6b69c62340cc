"""JSON Lines shards, compressed or not: their columns and rows, and the rows of a slice."""

from collections.abc import Sequence
from itertools import islice

import pyarrow as pa

from pipeline_lib.errors import InputError
from pipeline_lib.inputs import columns
from pipeline_lib.inputs.formats.csv_files.csv_marks import Marks, Position
from pipeline_lib.inputs.formats.csv_files.csv_records import Record
from pipeline_lib.inputs.formats.json_files.json_lines import Line, lines_of
from pipeline_lib.inputs.formats.json_files.json_types import column, merged, types_of
from pipeline_lib.inputs.formats.text_files import OpenLines, opened
from pipeline_lib.inputs.shards import MOST_COLUMNS, Contents, Slice, is_compressed
from pipeline_lib.storage.location import Location

_LINES_AT_A_TIME = 1024


def inspect(shard: Location, rows_per_slice: int) -> Contents:
    """Read a shard through once: its keys and their types, how many rows it has, and where its slices start.

    Each line that is not blank is a row. A column has the type of all its values, see `json_types`; a file without
    rows has no columns.

    Raises:
        InputError: most lines are no JSON objects, there are too many keys, or a slice would hold too much.
    """
    path, types, faults = shard.path, dict[str, pa.DataType](), 0
    marks = Marks(path, rows_per_slice, Position(0, 0))
    with opened(shard, "whole") as file:
        lines = lines_of(file)
        while some := list(islice(lines, _LINES_AT_A_TIME)):
            for line in some:
                marks.add_record(Record([], line.offset, line.line, size_bytes=line.size_bytes))
            valid = [line.values for line in some if line.fault is None]
            faults += len(some) - len(valid)
            for name, kind in types_of(valid).items():
                types[name] = merged(types.get(name, pa.null()), kind)
            if len(types) > MOST_COLUMNS:
                raise InputError(f"{path!r}: more than {MOST_COLUMNS:,} keys; {MOST_COLUMNS:,} at most can be read")
            _refuse_other_format(path, faults, marks.rows, is_whole=False)
    _refuse_other_format(path, faults, marks.rows, is_whole=True)
    return Contents(
        pa.schema(types.items()), marks.rows, tuple(marks.slice_offsets), (0,) if is_compressed(path) else ()
    )


class JsonRows:
    """Slices of an open shard.

    Args:
        shard: the file.
        names: of the wanted columns.
        schema: of the shard.
    """

    def __init__(self, shard: Location, names: Sequence[str], schema: pa.Schema) -> None:
        self._lines, self._fields = OpenLines(shard), [schema.field(name) for name in names]

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def __call__(self, part: Slice) -> pa.Table:
        """Return the named columns of a slice, its line numbers, and the rejects among its rows.

        Raises:
            InputError: the file has fewer rows than it had when it was planned.
        """
        return _to_table(self._lines.taken(part, lines_of), self._fields)


def _to_table(lines: Sequence[Line], fields: Sequence[pa.Field]) -> pa.Table:
    arrays = {field.name: column([line.values.get(field.name) for line in lines], field.type) for field in fields}
    arrays[columns.LINE] = pa.array([line.line + 1 for line in lines], pa.int64())
    arrays[columns.REJECT_CODE] = pa.array([line.fault and line.fault[0] for line in lines], pa.string())
    arrays[columns.REJECT_MESSAGE] = pa.array([line.fault and line.fault[1] for line in lines], pa.string())
    return pa.table(arrays)


def _refuse_other_format(path: str, faults: int, rows: int, *, is_whole: bool) -> None:
    """Check that lines are JSON objects: a few that are not become rejects.

    Raises:
        InputError: most are not, so that the file is something else, such as one JSON document over many lines.
    """
    if faults * 2 > rows and (is_whole or faults > _LINES_AT_A_TIME // 2):
        raise InputError(
            f"{path!r} is not JSON Lines: {faults:,} of {rows:,} lines are no JSON objects; each row must be an "
            "object on a line of its own"
        )
