"""Files anywhere fsspec reaches, and the promises kept with them: leases, records, integrity, cleanup."""
