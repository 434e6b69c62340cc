"""What the files of nights tell: metrics, manifests, receipts and records of runs. No score is read."""
