"""What is timed against what: the pipeline and what its users would pick instead, our engine, and our whole job.

Each contender runs in a process of its own, `python -m jobs.bench.contenders NAME TASK.json`, and leaves its
answers and its times beside the task. `comparison.py` starts them.
"""

import json
import math
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_PER_SLICE_ON_GPU = 8192
"""As the nightly job's settings have it."""


@dataclass(frozen=True)
class Task:
    """The same for every contender."""

    texts: str
    """Parquet file with the columns `at` and `text`; no text is null."""
    model: str
    precision: str
    engine: str
    cpus: int
    device: str
    """`cpu` or `cuda`."""
    answers: str
    """Parquet file to write: `at`, `label` and `score`."""


@dataclass(frozen=True)
class Timed:
    """What a contender tells of itself."""

    loop_seconds: float
    """From the first text to the last answer, without start-up."""


def pipeline_of(batch_size: int) -> Callable[[Task], Timed]:
    """The pipeline itself, at a batch size."""

    def run(task: Task) -> Timed:
        import torch

        torch.set_num_threads(task.cpus)
        classify = _pipeline(task, batch_size)
        texts = _texts(task)
        classify(texts[:2], truncation=True)
        began = time.perf_counter()
        found = classify(texts, truncation=True)
        return _answered(task, found, began)

    return run


def ray_template(task: Task) -> Timed:
    """The template of Ray's documentation: the pipeline inside `map_batches`."""
    import ray
    import torch

    class TextClassifier:
        def __init__(self) -> None:
            torch.set_num_threads(1)
            self._classify = _pipeline(task, None)

        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            found = self._classify(list(batch["text"]), truncation=True)
            names = ("label", "score")
            return {"at": batch["at"], **{name: [row[name] for row in found] for name in names}}

    ray.init("local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    began = time.perf_counter()
    on_gpu = task.device == "cuda"
    scored = ray.data.read_parquet(task.texts, override_num_blocks=32).map_batches(
        TextClassifier,
        compute=ray.data.ActorPoolStrategy(size=1 if on_gpu else task.cpus),
        num_cpus=0.5,  # with a whole CPU for each actor none would be left to read
        num_gpus=int(on_gpu),
        batch_size=64,
    )
    found = scored.to_pandas().sort_values("at")
    return _answered(task, found.to_dict("records"), began)


def cross_encoder(task: Task) -> Timed:
    """`CrossEncoder.predict` of sentence-transformers, at its default batch size of 32.

    It takes pairs alone, so each text goes with an empty one; a token more, and so other scores.
    """
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import AutoConfig

    torch.set_num_threads(task.cpus)
    names = AutoConfig.from_pretrained(task.model).id2label
    kind = getattr(torch, task.precision)
    model = CrossEncoder(task.model, device=task.device, model_kwargs={"dtype": kind})
    texts = _texts(task)
    began = time.perf_counter()
    scores = model.predict(
        [(text, "") for text in texts], activation_fn=torch.nn.Softmax(dim=-1), convert_to_tensor=True
    ).float()
    best, index = scores.max(dim=1)
    found = [{"label": names[at], "score": score} for at, score in zip(index.tolist(), best.tolist(), strict=True)]
    return _answered(task, found, began)


def spark(task: Task) -> Timed:
    """Spark's `predict_batch_udf` around a model loop with a padded batch of 32."""
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql import SparkSession
    from pyspark.sql.types import FloatType, StringType, StructField, StructType

    def load() -> Callable[..., Any]:
        import torch

        torch.set_num_threads(1)
        classify = _pipeline(task, 32)

        def predict(texts: Any) -> Any:
            found = classify([str(text) for text in texts], truncation=True)
            return [{"label": row["label"], "score": row["score"]} for row in found]

        return predict

    session = SparkSession.builder.master(f"local[{task.cpus}]").config("spark.ui.enabled", "false").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    kind = StructType([StructField("label", StringType()), StructField("score", FloatType())])
    score = predict_batch_udf(load, return_type=kind, batch_size=256)
    began = time.perf_counter()
    frame = session.read.parquet(task.texts).repartition(4 * task.cpus)
    rows = frame.select("at", score("text").alias("found")).toPandas().sort_values("at")
    return _answered(task, [row.asDict() for row in rows["found"]], began)


def engine(task: Task) -> Timed:
    """Our tokenizer, engine and scores in a bare loop: a process for each CPU, without Ray or files.

    On a GPU it is the engine and the scores alone, since there other CPUs tokenize meanwhile.
    """
    return _on_gpu(task) if task.device == "cuda" else _on_cpus(task)


def _on_gpu(task: Task) -> Timed:
    from pipeline_lib import Scorer

    scorer = Scorer({"model": _model(task)}, task.device)
    table = pq.read_table(task.texts)
    starts = range(0, table.num_rows, ROWS_PER_SLICE_ON_GPU)
    slices = [scorer.tokenized(table.slice(start, ROWS_PER_SLICE_ON_GPU)) for start in starts]
    scorer.classified(slices[0])
    began = time.perf_counter()
    found = [scorer.classified(part) for part in slices]
    seconds = time.perf_counter() - began
    pq.write_table(pa.concat_tables(found), task.answers)
    return Timed(seconds)


def _on_cpus(task: Task) -> Timed:
    from pipeline_lib.settings.settings import TuningSettings

    actors = task.cpus
    table = pq.read_table(task.texts)
    rows = min(TuningSettings().rows_per_slice, math.ceil(table.num_rows / actors))
    slices = [table.slice(at, rows) for at in range(0, table.num_rows, rows)]
    context = multiprocessing.get_context("spawn")
    ready, todo, done = context.Barrier(actors + 1), context.Queue(), context.Queue()
    for numbered in [*enumerate(slices), *[None] * actors]:
        todo.put(numbered)
    workers = [context.Process(target=_work, args=(task, ready, todo, done)) for _ in range(actors)]
    for worker in workers:
        worker.start()
    ready.wait()
    began = time.perf_counter()
    found = dict(done.get() for _ in slices)
    seconds = time.perf_counter() - began
    for worker in workers:
        worker.join()
    pq.write_table(pa.concat_tables([found[number] for number in sorted(found)]), task.answers)
    return Timed(seconds)


def _work(task: Task, ready: Barrier, todo: Any, done: Any) -> None:
    import torch

    from pipeline_lib import Scorer

    torch.set_num_threads(1)
    scorer = Scorer({"model": _model(task)}, task.device)
    scorer(pa.table({"text": ["a text to warm up with"]}))
    ready.wait()
    while (given := todo.get()) is not None:
        number, table = given
        done.put((number, scorer(table)))


def _model(task: Task) -> dict[str, str]:
    return {"name": task.model, "precision": task.precision, "engine": task.engine}


def _pipeline(task: Task, batch_size: int | None) -> Any:
    import torch
    from transformers import pipeline
    from transformers.utils import logging

    logging.set_verbosity_error()
    kind = getattr(torch, task.precision)
    options = {} if batch_size is None else {"batch_size": batch_size}
    return pipeline("text-classification", model=task.model, device=task.device, dtype=kind, **options)


def _texts(task: Task) -> list[str]:
    texts: list[str] = pq.read_table(task.texts, columns=["text"]).column(0).to_pylist()
    return texts


def _answered(task: Task, found: Sequence[dict[str, Any]], began: float) -> Timed:
    seconds = time.perf_counter() - began
    at = pq.read_table(task.texts, columns=["at"]).column(0)
    answers = {"at": at, "label": [row["label"] for row in found], "score": [row["score"] for row in found]}
    pq.write_table(pa.table(answers), task.answers)
    return Timed(seconds)


CONTENDERS: dict[str, Callable[[Task], Timed]] = {
    "pipeline, batch 1": pipeline_of(1),
    "pipeline, batch 8": pipeline_of(8),
    "pipeline, batch 32": pipeline_of(32),
    "Ray's template": ray_template,
    "CrossEncoder": cross_encoder,
    "Spark": spark,
    "our bare loop": engine,
}
NEEDS = {"CrossEncoder": "sentence_transformers", "Spark": "pyspark"}
"""Packages that are extras."""


def main() -> None:
    """Run the contender that is named, on the task that is named."""
    name, path = sys.argv[1:]
    task = Task(**json.loads(Path(path).read_text()))
    timed = CONTENDERS[name](task)
    Path(path).with_suffix(".timed.json").write_text(json.dumps(asdict(timed)))


if __name__ == "__main__":
    main()
