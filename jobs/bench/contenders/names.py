"""The contenders by the name that the options and the tables use."""

from collections.abc import Callable

from jobs.bench.contenders.alternatives import cross_encoder, pipeline_of, ray_template, spark
from jobs.bench.contenders.our_loop import bare_loop
from jobs.bench.contenders.task import Task, Timed

CONTENDERS: dict[str, Callable[[Task], Timed]] = {
    "pipeline, batch 1": pipeline_of(1),
    "pipeline, batch 8": pipeline_of(8),
    "pipeline, batch 32": pipeline_of(32),
    "Ray's template": ray_template,
    "CrossEncoder": cross_encoder,
    "Spark": spark,
    "our bare loop": bare_loop,
}
NEEDS = {"CrossEncoder": "sentence_transformers", "Spark": "pyspark"}
"""The optional package that a contender needs."""
