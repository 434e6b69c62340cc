"""The job's settings: what they are called, what they may be, and how a file and overrides become them."""
