"""Top-k accuracy of an engine over a data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from caffe2neon.engines.base import Engine
from caffe2neon.errors import DataError, EngineError, UsageError
from caffe2neon.evaluate.dataset import Dataset
from caffe2neon.evaluate.prefetch import batches
from caffe2neon.evaluate.preprocess import Preprocessor
from caffe2neon.evaluate.shards import BATCH, total
from caffe2neon.evaluate.topk import beaten_by
from caffe2neon.records import Array, Counts, Evaluation, Preprocess


def evaluate(
    engine: Engine,
    dataset: Dataset,
    preprocess: Preprocess,
    *,
    model_order: str,
    topk: Sequence[int] = (1, 5),
    label_map: Array | None = None,
    head: str | None = None,
    skip_bad: bool = False,
    batch: int = BATCH,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Evaluation:
    """Measure top-k accuracy over a whole data set; see :func:`count`."""
    counts = count(
        engine,
        dataset,
        preprocess,
        model_order=model_order,
        topk=topk,
        label_map=label_map,
        head=head,
        skip_bad=skip_bad,
        batch=batch,
        workers=workers,
        progress=progress,
    )
    return total([counts])


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
    """Count top-k; see :func:`~caffe2neon.evaluate.topk.beaten_by` for how ties count.

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
        EngineError: the engine failed, or a score is NaN.
        UsageError: an unknown ``head``, or a ``k`` below 1 or above the number of classes.
    """
    ks = sorted(set(topk))
    if not ks or ks[0] < 1:
        raise UsageError(f"top-k needs whole numbers from 1 on, not {', '.join(map(str, topk)) or 'none'}")
    if len(engine.inputs) != 1:
        raise DataError(f"the model has {len(engine.inputs)} inputs ({', '.join(engine.inputs)}), but pictures feed one")
    ((input_name, shape),) = engine.inputs.items()
    output = engine.outputs[0] if head is None else head
    if output not in engine.outputs:
        raise UsageError(f"the model has no output {output!r}", remedy=f"its outputs are: {', '.join(engine.outputs)}")

    examples = range(len(dataset)) if part is None else part
    labels: NDArray[np.int64] | None = None
    correct = dict.fromkeys(ks, 0)
    skipped: list[str] = []
    preprocessor = Preprocessor(preprocess, tuple(shape))
    threads = workers or os.cpu_count() or 1
    with closing(batches(dataset, preprocessor, examples, batch=batch, workers=threads, skip_bad=skip_bad)) as made:
        for indices, inputs, wrong in made:
            skipped += wrong
            if len(indices):
                scores = _class_scores(engine.run({input_name: inputs})[output], output)
                if labels is None:  # only the first result tells how many classes there are
                    labels = _model_labels(dataset, scores.shape[1], model_order, label_map)
                    if ks[-1] > scores.shape[1]:
                        raise UsageError(f"top-{ks[-1]} of {scores.shape[1]} classes means nothing", remedy="choose others: --topk")
                if (bad := np.isnan(scores).any(axis=1)).any():
                    index = int(indices[bad.argmax()])
                    raise EngineError(f"output {output!r} is NaN for example {index}", where=dataset.where(index))
                beaten = beaten_by(scores, labels[indices])
                for k in ks:
                    correct[k] += int(np.count_nonzero(beaten < k))
            progress(len(indices) + len(wrong))
    return Counts(
        engine=f"{engine.name} {engine.version}",
        dataset=dataset.name,
        class_order=model_order or dataset.class_order,
        total=len(dataset),
        start=examples.start,
        stop=examples.stop,
        correct=correct,
        skipped=tuple(skipped),
    )


def _class_scores(scores: Array, output: str) -> Array:
    """(N, C, 1, ...) -> (N, C); anything more is no classifier's output."""
    if scores.ndim < 2 or any(size != 1 for size in scores.shape[2:]):
        raise DataError(
            f"output {output!r} has the shape {tuple(scores.shape[1:])} for each example, not one score a class",
            remedy="measure another output, or a model that ends in class scores",
        )
    return scores.reshape(scores.shape[:2])


def _model_labels(dataset: Dataset, classes: int, model_order: str, label_map: Array | None) -> NDArray[np.int64]:
    """The data set's labels in the model's class order."""
    labels = dataset.labels
    if (outside := labels >= classes).any():
        index = int(outside.argmax())
        message = f"label {labels[index]} of example {index} is not one of the model's {classes} classes"
        raise DataError(message, where=dataset.where(index))
    if not model_order or not dataset.class_order or model_order == dataset.class_order:
        return labels
    if label_map is None or not np.array_equal(np.sort(label_map), np.arange(classes)):
        raise DataError(
            f"labels are in {dataset.class_order}'s class order, the model is in {model_order}'s, "
            f"and no map between them fits its {classes} classes"
        )
    order = np.asarray(label_map, np.int64)
    return (order if dataset.class_order == "neon" else np.argsort(order))[labels]
