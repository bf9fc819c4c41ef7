"""Top-k accuracy of an engine over a data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from caffe2neon.engines.base import Engine, Measuring
from caffe2neon.errors import DataError, UsageError
from caffe2neon.evaluate.by_neon import by_neon
from caffe2neon.evaluate.dataset import Dataset
from caffe2neon.evaluate.judged import Judged, Measurement
from caffe2neon.evaluate.shards import BATCH
from caffe2neon.evaluate.topk import beaten_by, whole
from caffe2neon.records import Array, Counts, Preprocess

#: How :func:`_by_scores` measures.
_METHOD = "ties count against the model"


def count(
    engine: Engine,
    dataset: Dataset,
    preprocess: Preprocess,
    *,
    model_order: str,
    topk: Sequence[int] = (1, 5),
    label_map: Array | None = None,
    head: str | None = None,
    part: range | None = None,
    skip_bad: bool = False,
    batch: int = BATCH,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Counts:
    """Count top-k: by the engine's scores, or as the real neon measures; see :mod:`~caffe2neon.evaluate.by_neon`.

    The result depends on neither ``batch`` nor ``workers``. Parts that :func:`~caffe2neon.evaluate.shards.shards` cuts may be
    counted anywhere, and :func:`~caffe2neon.evaluate.shards.total` makes the whole of them.

    Args:
        engine: a model with one input, (C, H, W), and class scores: (N, C), (N, C, 1) or (N, C, 1, 1).
        dataset: its labels are taken to the model's class order where the two differ.
        model_order: caffe or neon; "" for a model that has just one order, which then is the data set's.
        label_map: Caffe's index of each neon class; needed where the two orders differ.
        head: the output to measure; None is the first.
        part: the examples to count, one after the other; None is all.
        skip_bad: leave out pictures that cannot be read, and say so in the result.
        workers: threads that decode; None is one a core.
        progress: told, after each batch, how many examples it had.

    Raises:
        PictureError: a picture cannot be read, and ``skip_bad`` is false.
        DataError: a picture or a label is bad or does not fit the model.
        EngineError: the engine failed, or a score is NaN or infinite.
        UsageError: an unknown ``head``, or a ``k`` below 1 or above the number of classes.
    """
    ks = sorted(set(topk))
    if not ks or ks[0] < 1:
        raise UsageError(f"top-k needs whole numbers from 1 on, not {', '.join(map(str, topk)) or 'none'}")
    if len(engine.inputs) != 1:
        raise DataError(f"the model has {len(engine.inputs)} inputs ({', '.join(engine.inputs)}), but pictures feed one")
    output = engine.outputs[0] if head is None else head
    if output not in engine.outputs:
        raise UsageError(f"the model has no output {output!r}", remedy=f"its outputs are: {', '.join(engine.outputs)}")

    measurement = Measurement(
        engine=engine,
        output=output,
        dataset=dataset,
        preprocess=preprocess,
        part=range(len(dataset)) if part is None else part,
        topk=tuple(ks),
        model_order=model_order,
        label_map=label_map,
        skip_bad=skip_bad,
        batch=batch,
        workers=workers or os.cpu_count() or 1,
    )
    method, judged = by_neon(engine, measurement) if isinstance(engine, Measuring) else (_METHOD, _by_scores(measurement))
    right = np.zeros(len(ks))
    skipped: list[str] = []
    with closing(judged):
        for done in judged:
            right += done.right.sum(axis=0)
            skipped += done.skipped
            progress(len(done.indices) + len(done.skipped))
    return Counts(
        engine=f"{engine.name} {engine.version}",
        method=method,
        dataset=dataset.name,
        class_order=model_order or dataset.class_order,
        total=len(dataset),
        start=measurement.part.start,
        stop=measurement.part.stop,
        correct={k: whole(count) for k, count in zip(ks, right.tolist(), strict=True)},
        skipped=tuple(skipped),
    )


def _by_scores(measurement: Measurement) -> Generator[Judged]:
    """Counted here, by the scores of an engine that computes and no more; see :func:`~caffe2neon.evaluate.topk.beaten_by`."""
    labels: NDArray[np.int64] | None = None
    ks = np.array(measurement.topk)
    with closing(measurement.batches(measurement.batch)) as made:
        for indices, inputs, skipped in made:
            right = np.empty((0, len(ks)))
            if len(indices):
                scores = measurement.scores(inputs)
                if labels is None:  # only the first result tells how many classes there are
                    labels = measurement.labels(scores.shape[1])
                measurement.require_numbers(scores, indices)
                right = (beaten_by(scores, labels[indices])[:, None] < ks).astype(np.float64)
            yield Judged(indices, right, skipped)
