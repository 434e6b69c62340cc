"""Measure the job beside its alternatives: `python -m jobs.bench`, `jobs.bench.gpu` and `jobs.bench.scale`."""
