"""Scoring: texts to token ids, token ids to scores, and rows that fail set apart."""
