"""Checkpoints: found, fetched, trusted, loaded; their labels, activation and limits."""
