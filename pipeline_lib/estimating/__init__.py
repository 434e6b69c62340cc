"""What a run would take, from a sample that is scored here or from past nights."""
