"""Resume: what earlier runs left in the output, what of it verifies, and what a new run takes over."""
