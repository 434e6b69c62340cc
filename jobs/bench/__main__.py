"""Time our job against what its users would pick instead; `python -m jobs.bench --help` lists the options."""

from jobs.bench.comparison import bench
from jobs.bench.inputs import command

command(bench)
