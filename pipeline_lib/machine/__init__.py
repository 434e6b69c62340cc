"""The machine that a process runs on: its terminal, signals, processes, caches and libraries."""
