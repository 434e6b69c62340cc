"""A first look at Nightscore. Run it in the project's folder, as a whole or cell by cell (`# %%`) in an editor.

.venv/bin/python configs/sample/explore.py
"""

import subprocess
import sys

import pandas as pd

from pipeline_lib import Scorer

# %% Score a few reviews in this process. The result has the same rows in the same order.
reviews = pd.read_parquet("configs/sample/reviews").head(200)
scorer = Scorer({"model": {"name": "configs/sample/model"}, "output": {"scores": "all"}})
scored = scorer(reviews)

# %% Look at the labels. A row that could not be scored has no label; `reject` says why.
print(scored["label"].value_counts(dropna=False))
print(scored["reject"].value_counts())

# %% Does the label agree with the customer's stars? Three stars are neither good nor bad.
rated = scored[scored["label"].notna() & scored["rating"].notna() & (scored["rating"] != 3)]
agree = (rated["label"] == "POSITIVE") == (rated["rating"] > 3)
print(f"Label and stars agree in {agree.mean():.0%} of {len(rated)} reviews.")

# %% Which reviews is the model least sure about?
unsure = scored.assign(text=reviews["text"]).nsmallest(5, "score")
print(unsure[["rating", "label", "score", "text"]].to_string(max_colwidth=60))

# %% Run the whole job on all 2,000 reviews. If `make run` has published them already, nothing is scored again.
command = [sys.executable, "-m", "jobs.score", "run", "configs/sample.yaml", "--local"]
subprocess.run(command, check=True)

# %% Look at what the job published: the scored rows, and the rejects with their reasons.
published = pd.read_parquet("out/sample")
print(pd.crosstab(published["product"], published["label"], normalize="index"))
rejects = pd.read_parquet("out/sample/_rejects")
print(rejects[["shard", "row", "code", "message"]].head())
