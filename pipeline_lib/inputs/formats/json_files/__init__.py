"""JSON Lines: its lines, the types of its columns and the rows of a slice."""
