"""The programs: the job's command line, the benchmarks, and how the sample was made."""
