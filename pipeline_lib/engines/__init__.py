"""Engines: what computes the logits of a batch."""
