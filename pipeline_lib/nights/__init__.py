"""Many nights: how they went, what is missing of them, and what starts the job every night."""
