"""The programs: run each with `python -m jobs.<name>`."""
