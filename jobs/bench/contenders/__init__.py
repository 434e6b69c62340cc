"""The contenders: what users could take instead of this job, and our own loop; each runs in its own process."""
