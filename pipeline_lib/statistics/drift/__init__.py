"""Whether the scores of a night are like those of accepted nights."""
