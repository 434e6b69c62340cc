"""Score a sample of the input here, and measure it."""
