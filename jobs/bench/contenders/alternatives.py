"""What users could take instead of this job: the pipeline, and three programs around it or beside it."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.bench.contenders.task import Task, Timed


def pipeline_of(batch_size: int) -> Callable[[Task], Timed]:
    """The pipeline itself, at a batch size."""

    def run(task: Task) -> Timed:
        import torch

        torch.set_num_threads(task.cpus)
        classify = _pipeline(task, batch_size)
        texts = _texts_of(task)
        classify(texts[:2], truncation=True)
        began = time.perf_counter()
        answers = classify(texts, truncation=True)
        return _write_answers(task, answers, began)

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
            answers = self._classify(list(batch["text"]), truncation=True)
            names = ("label", "score")
            return {"at": batch["at"], **{name: [row[name] for row in answers] for name in names}}

    ray.init("local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    began = time.perf_counter()
    on_gpu = task.device == "cuda"
    scored = ray.data.read_parquet(task.texts, override_num_blocks=32).map_batches(
        TextClassifier,
        compute=ray.data.ActorPoolStrategy(size=1 if on_gpu else task.cpus),
        num_cpus=0.5,  # with a whole CPU for each actor no CPU would be left for reading
        num_gpus=int(on_gpu),
        batch_size=64,
    )
    answers = scored.to_pandas().sort_values("at")
    return _write_answers(task, answers.to_dict("records"), began)


def cross_encoder(task: Task) -> Timed:
    """`CrossEncoder.predict` of sentence-transformers, at its default batch size of 32.

    It accepts only pairs, so each text is paired with an empty one: one token more, and therefore other scores.
    """
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import AutoConfig

    torch.set_num_threads(task.cpus)
    names = AutoConfig.from_pretrained(task.model).id2label
    kind = getattr(torch, task.torch_precision)
    model = CrossEncoder(task.model, device=task.device, model_kwargs={"dtype": kind})
    texts = _texts_of(task)
    began = time.perf_counter()
    scores = model.predict(
        [(text, "") for text in texts], activation_fn=torch.nn.Softmax(dim=-1), convert_to_tensor=True
    ).float()
    best, index = scores.max(dim=1)
    labels = [names[at] for at in index.tolist()]
    answers = [{"label": label, "score": score} for label, score in zip(labels, best.tolist(), strict=True)]
    return _write_answers(task, answers, began)


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
            answers = classify([str(text) for text in texts], truncation=True)
            return [{"label": row["label"], "score": row["score"]} for row in answers]

        return predict

    session = SparkSession.builder.master(f"local[{task.cpus}]").config("spark.ui.enabled", "false").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    kind = StructType([StructField("label", StringType()), StructField("score", FloatType())])
    score = predict_batch_udf(load, return_type=kind, batch_size=256)
    began = time.perf_counter()
    frame = session.read.parquet(task.texts).repartition(4 * task.cpus)
    rows = frame.select("at", score("text").alias("answer")).toPandas().sort_values("at")
    return _write_answers(task, [row.asDict() for row in rows["answer"]], began)


def _pipeline(task: Task, batch_size: int | None) -> Any:
    import torch
    from transformers import pipeline
    from transformers.utils import logging

    logging.set_verbosity_error()
    kind = getattr(torch, task.torch_precision)
    options = {} if batch_size is None else {"batch_size": batch_size}
    return pipeline("text-classification", model=task.model, device=task.device, dtype=kind, **options)


def _texts_of(task: Task) -> list[str]:
    texts: list[str] = pq.read_table(task.texts, columns=["text"]).column(0).to_pylist()
    return texts


def _write_answers(task: Task, answers: Sequence[dict[str, Any]], began: float) -> Timed:
    seconds = time.perf_counter() - began
    at = pq.read_table(task.texts, columns=["at"]).column(0)
    columns = {name: [answer[name] for answer in answers] for name in ("label", "score")}
    pq.write_table(pa.table({"at": at, **columns}), task.answers)
    return Timed(seconds)
