"""The formats of shards: Parquet, CSV or TSV, and JSON Lines."""
