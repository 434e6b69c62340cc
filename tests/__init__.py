"""Tests: unit tests by room, whole jobs, nights, clusters, pages, programs, faults, and every kind of bad input."""
