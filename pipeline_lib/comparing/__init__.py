"""Two published outputs of the same rows, compared row by row."""
