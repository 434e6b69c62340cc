"""Measure what grows with the input and with the cluster: planning, and feeding many machines."""
