"""Rows of every bad kind, and what each gets: a score or a reject code."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file, save_file

from tests.bad_inputs.job_folder import JobFolder
from tests.helpers.checkpoints import poisoned


@dataclass(frozen=True)
class Row:
    """A row that one of the jobs of rows is given."""

    name: str
    raw: bytes | None
    """Its text in Parquet, None for null; or its whole record in CSV, with `#` for its number."""
    gets: str = "scored"
    """Or a reject code, or `no row`."""
    secret: str = ""
    """A word of its text that may be nowhere but in the input."""


PARQUET_ROWS = (
    Row("null", None, "null_text"),
    Row("an empty text", b""),
    Row("white space", b" \t\r\n "),
    Row("bytes that are no UTF-8", b"zqlatin caf\xe9", "not_decodable", "zqlatin"),
    Row("UTF-8 cut off in a character", "zqcut 🙂".encode()[:-1], "not_decodable", "zqcut"),
    Row("a lone surrogate as bytes", b"zqlone \xed\xa0\x80", "not_decodable", "zqlone"),
    Row("an overlong slash", b"zqlong \xc0\xaf", "not_decodable", "zqlong"),
    Row("bytes above U+10FFFF", b"zqabove \xf4\x90\x80\x80", "not_decodable", "zqabove"),
    Row("a NUL inside", b"before \0 after"),
    Row("nothing but NULs", b"\0\0\0"),
    Row("control characters", b"bell \x07 escape \x1b[31m delete \x7f"),
    Row("a million characters", b"word " * 200_000),
    Row("one word of a million characters", b"x" * 1_000_000),
    Row("nothing but emoji", "🙂👩‍👩‍👧‍👦🏳️‍🌈🇩🇪".encode()),
    Row("right-to-left text", "مرحبا بالعالم שלום".encode()),
    Row("marks that turn the direction", "abc\u202edef\u202c".encode()),
    Row("combining characters", ("e" + "\u0301" * 500).encode()),
    Row("zero-width characters", "zero\u200bwidth\u200djoiner\ufeff".encode()),
    Row("nothing but zero-width characters", "\u200b\u200d\ufeff".encode()),
    Row("noncharacters and private use", "\ufffe\uffff\ue000\U0010ffff".encode()),
    Row("HTML", b"<p>This is <b>bold</b><br />&amp; <script>alert(1)</script></p>"),
    Row("JSON", b'{"text": "a", "label": null}'),
    Row("nothing but unknown tokens", "ꙮ ꙮ ꙮ".encode()),
    Row("special tokens in the text", b"[CLS] before [SEP] after [PAD] [MASK] [UNK]"),
    Row("special tokens of other models", b"<s> </s> <|endoftext|> <pad>"),
    Row("nothing but numbers", b"3.14159 1,000,000 -7e10"),
    Row("a word that elsewhere means null", b"NaN"),
    Row("a path", b"../../etc/passwd; rm -rf / `id` $(id)"),
    Row("a byte-order mark first", b"\xef\xbb\xbfwords"),
)
CSV_ROWS = (
    Row("a good row", b"#,5,a fine kettle\n"),
    Row("too many fields", b"#,5,zqmany,more\n", "ragged", "zqmany"),
    Row("too few fields", b"#,zqfew\n", "ragged", "zqfew"),
    Row("a stray quote", b'#,5,"zqstray"x\n', "malformed", "zqstray"),
    Row("a quote inside a field without quotes", b'#,5,6" of rain\n'),
    Row("doubled quotes", b'#,5,"say ""hi"""\n'),
    Row("a quoted newline", b'#,5,"two\nlines"\n'),
    Row("a quoted delimiter", b'#,5,"one, two"\n'),
    Row("bytes that don't decode, in the text", b"#,5,zqbytes caf\xe9\n", "not_decodable", "zqbytes"),
    Row("bytes that don't decode, in another column", b"#\xff,5,zqother\n", "not_decodable", "zqother"),
    Row("a lone surrogate as bytes", b"#,5,zqsurrogate \xed\xa0\x80\n", "not_decodable", "zqsurrogate"),
    Row("a word in a column of numbers", b"#,five,zqword\n", "bad_value", "zqword"),
    Row("a fraction in a column of integers", b"#,4.5,zqhalf\n", "bad_value", "zqhalf"),
    Row("an integer of 65 bits", b"#,18446744073709551616,zqbits\n", "bad_value", "zqbits"),
    Row("nothing in a column of numbers", b"#,,a fine kettle\n"),
    Row("a text NA", b"#,5,NA\n"),
    Row("a text null", b"#,5,null\n"),
    Row("an empty text, where they are refused", b"#,5,\n", "blank_text"),
    Row("white space, where it is refused", b'#,5," \t\n"\n', "blank_text"),
    Row("an ideographic space, where it is refused", "#,5,\u3000\n".encode(), "blank_text"),
    Row("a blank line", b"\n", "no row"),
    Row("a line of white space", b"  \n", "ragged"),
    Row("a NUL inside", b"#,5,before \0 after\n"),
    Row("a Windows line end", b"#,5,a fine kettle\r\n"),
    Row("a field of a million characters", b"#,5," + b"word " * 200_000 + b"\n"),
    Row("a carriage return outside quotes", b"#,5,zqreturn\r more\n", "malformed", "zqreturn"),
    Row("a carriage return in a record of two lines", b'#\r,5,"zqtwo\nlines"\n', "malformed", "zqtwo"),
    Row("a carriage return inside quotes", b'#,5,"a fine\rkettle"\n'),
    Row("a record of 17 megabytes", b"#,5,zqhuge" + b"x" * 17_000_000 + b"\n", "malformed", "zqhuge"),
    Row("a formula", b"#,5,=HYPERLINK(1)\n"),
    Row("a last line without an end", b"#,5,a fine kettle"),
)
# A checkpoint that fails, or has no answer, where a text holds a certain word; its tokenizer has no token for what
# it does not know, and adds none to what is empty.
NOT_A_NUMBER, BEYOND, UNKNOWN = "9", "zqbeyond", "ꙮ"
ODD_ROWS = (
    Row("a text that all can take", b"fine"),
    Row("no token at all", b"", "no_tokens"),
    Row("a text that the tokenizer refuses", f"zqrefused {UNKNOWN}".encode(), "not_tokenizable", "zqrefused"),
    Row("a token beyond the model's table", f"good {BEYOND}".encode(), "unknown_token", BEYOND),
    Row("a text that the model fails on", f"boils {poisoned.FAILS}".encode(), "model_failed"),
    Row("a text whose logits are not finite", f"good {NOT_A_NUMBER}".encode(), "not_finite"),
    Row("a text that kills the model's process", f"text {poisoned.KILLS}".encode(), "killed_worker"),
    Row("a text after all these", b"bad"),
)


@dataclass(frozen=True)
class Table:
    """Rows that one job is given, and how."""

    group: str
    rows: tuple[Row, ...]
    write: Callable[[JobFolder, tuple[Row, ...]], None]


def _parquet(job: JobFolder, rows: tuple[Row, ...]) -> None:
    """Write all rows as one shard; Arrow checks no UTF-8 in buffers."""
    texts = pa.array([row.raw for row in rows], pa.binary())
    strings = pa.Array.from_buffers(pa.string(), len(rows), texts.buffers())
    job.add("rows.parquet", pa.table({"at": [str(at) for at in range(len(rows))], "text": strings}), alone=True)
    job.write_settings({"limits": {"max_reject_rate": 1.0}, "tuning": {"rows_per_slice": 8, "model_actors": 2}})


def _csv(job: JobFolder, rows: tuple[Row, ...]) -> None:
    """Write all rows as one shard, and settings with a typed column that refuse blank texts."""
    records = [(row.raw or b"").replace(b"#", str(at).encode()) for at, row in enumerate(rows)]
    job.add("rows.csv", b"at,stars,text\n" + b"".join(records), alone=True)
    job.write_settings(
        {
            "input": {"csv": {"column_types": {"stars": "int64"}}, "blank_texts": "reject"},
            "limits": {"max_reject_rate": 1.0},
            "tuning": {"rows_per_slice": 8, "model_actors": 2},
        }
    )


def _odd(job: JobFolder, rows: tuple[Row, ...]) -> None:
    """Write all rows as one shard, and a checkpoint that has something against most of them."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    folder = poisoned.build(job.checkpoint, job.folder / "odd", job.folder / "flag")
    parts = json.loads((folder / "tokenizer.json").read_text())
    parts["post_processor"] = None
    parts["model"]["unk_token"] = "none"  # noqa: S105 - no password
    (folder / "tokenizer.json").write_text(json.dumps(parts))
    tokens = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens.add_tokens([BEYOND])
    (folder / "tokenizer_config.json").unlink()
    PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="[PAD]", model_max_length=64).save_pretrained(folder)  # noqa: S106 - no password
    weights = load_file(folder / "model.safetensors")
    weights["bert.embeddings.word_embeddings.weight"][tokens.token_to_id(NOT_A_NUMBER)] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _parquet(job, rows)
    job.write_settings(
        {"model": {"name": str(folder), "allow_remote_code": True}, "limits": {"max_reject_rate": 1.0}}
    )


TABLES = (
    Table("row of Parquet", PARQUET_ROWS, _parquet),
    Table("row of CSV", CSV_ROWS, _csv),
    Table("row, odd model", ODD_ROWS, _odd),
)


def rejects_of(job: JobFolder) -> list[dict[str, Any]]:
    """Return the published rejects."""
    folder = job.folder / "out" / "_rejects"
    rejects: list[dict[str, Any]] = pq.read_table(folder).to_pylist() if folder.exists() else []
    return rejects


def what_rows_got(job: JobFolder, rows: Sequence[Row]) -> list[str]:
    """Return what each row got: `scored`, its reject code, `no row`, or what must never be, in capitals."""
    scored = Counter(int(at) for at in pq.read_table(job.folder / "out").column("at").to_pylist())
    codes: dict[int, list[str]] = {}
    for reject in rejects_of(job):
        codes.setdefault(reject["row"], []).append(reject["code"])
    found = []
    number = 0
    for at, row in enumerate(rows):
        here = row.gets != "no row"
        got = ["scored"] * scored[at] + (codes.pop(number, []) if here else [])
        number += here
        found.append(" AND ".join(got) or ("LOST" if here else "no row"))
    return found if not codes else [*found, f"REJECTS OF NO ROW: {codes}"]
