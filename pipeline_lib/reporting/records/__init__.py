"""What a run writes about itself beside its output, also while it works."""
