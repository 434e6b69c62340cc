"""Tests: unit tests by room, whole jobs, faults, and every kind of bad input."""
