"""Make the sample's reviews and train its checkpoint: `python -m jobs.sample.make_reviews`, `jobs.sample.train`."""
