"""Statistics that add up over slices and nights: histograms, drift, truth, comparison. Pure arithmetic."""
