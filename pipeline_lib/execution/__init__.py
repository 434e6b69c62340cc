"""Execution: where the steps run. Only here is Ray imported."""
