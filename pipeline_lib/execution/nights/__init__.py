"""Several nights that are scored together: what they share, what is left of each, and what ends one of them."""
