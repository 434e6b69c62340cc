"""Planning: what is to be done, decided before work starts, and what of earlier runs counts."""
