"""The input: its shards and slices, their columns and types, and the reader of a slice."""
