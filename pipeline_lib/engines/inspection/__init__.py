"""Inspection: a checkpoint is loaded once and tried on texts of many lengths before work starts."""
