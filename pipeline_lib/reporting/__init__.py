"""Reporting: what people read of a run, while it works and after it."""
