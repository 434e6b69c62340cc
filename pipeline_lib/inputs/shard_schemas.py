"""Schemas of shards as texts, which manifest and plan keep."""

import base64

import pyarrow as pa


def encoded(schema: pa.Schema) -> str:
    """Return a schema as the manifest has it: Arrow's bytes in base64."""
    return base64.b64encode(schema.serialize()).decode()


def decoded(text: str) -> pa.Schema:
    """Return the schema that a text tells.

    Raises:
        ValueError: it tells none; `pa.ArrowInvalid` is one too.
    """
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))
