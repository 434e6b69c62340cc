"""The formats of shards: Parquet, and CSV or TSV."""
