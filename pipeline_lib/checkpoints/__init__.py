"""Checkpoints: their files are located, fetched, checked and loaded; their labels, activation and limits."""
