"""JSON Lines shards of every bad kind, and the error that each gets."""

import gzip

from tests.bad_inputs.job_folder import Case, shard

_DOCUMENT = b'[\n {\n  "id": 1,\n  "text": "a"\n }\n]\n'

JSON = (
    Case(
        "a JSON document over many lines",
        shard("bad.jsonl", _DOCUMENT),
        r"bad\.jsonl' is not JSON Lines: 6 of 6 lines",
    ),
    Case("JSON Lines of texts", shard("bad.jsonl", b'"a"\n"b"\n'), r"bad\.jsonl' is not JSON Lines: 2 of 2 lines"),
    Case(
        "JSON Lines in another encoding",
        shard("bad.ndjson", '{"text": "é"}\n'.encode("utf-16")),
        r"bad\.ndjson' is not JSON Lines: 2 of 2 lines",
    ),
    Case(
        "gzipped JSON Lines, cut short",
        shard("bad.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 99, mtime=0)[:-20]),
        r"bad\.jsonl\.gz' is not a whole gzip file",
    ),
    Case(
        "JSON Lines without the text's key",
        shard("bad.jsonl", b'{"id": "1", "texts": "a"}\n'),
        r"input\.text_column: .*bad\.jsonl' has no column 'text'; did you mean 'texts'",
    ),
    Case(
        "JSON Lines whose texts are numbers",
        shard("bad.jsonl", b'{"id": "1", "text": 5}\n'),
        r"input\.text_column: column 'text' of .*bad\.jsonl' is int64; it must be string",
    ),
    Case(
        "JSON Lines beside a file whose column has another type",
        shard("bad.jsonl", b'{"id": 1, "text": "a"}\n'),
        r"column 'id' .*",
    ),
    Case(
        "JSON Lines without rows",
        shard("bad.jsonl", b"\n\n", alone=True),
        r"the input has 0 rows, limits\.min_rows is 1",
        exit_code=3,
    ),
)
