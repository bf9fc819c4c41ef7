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
from caffe2neon.evaluate.topk import beaten_by, top_k
from caffe2neon.records import Array, Evaluation, Preprocess

#: Examples computed at once. Measured with SqueezeNet on 2 cores: 8 to 32 are alike, at 64 activations leave the caches, and a
#: third of the speed is lost.
BATCH = 16


def evaluate(
    engine: Engine,
    dataset: Dataset,
    preprocess: Preprocess,
    *,
    model_order: str,
    topk: Sequence[int] = (1, 5),
    label_map: Array | None = None,
    head: str | None = None,
    batch: int = BATCH,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Evaluation:
    """Measure top-k accuracy; see :func:`~caffe2neon.evaluate.topk.beaten_by` for how ties count.

    The result depends on neither ``batch`` nor ``workers``.

    Args:
        engine: a model with one input, (C, H, W), and class scores: (N, C), (N, C, 1) or (N, C, 1, 1).
        dataset: its labels are taken to the model's class order where the two differ.
        model_order: caffe or neon; "" for a model that has just one order, which then is the data set's.
        label_map: Caffe's index of each neon class; needed where the two orders differ.
        head: the output to measure; None is the first.
        workers: threads that decode; None is one a core.
        progress: told, after each batch, how many examples it had.

    Raises:
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

    labels: NDArray[np.int64] | None = None
    correct, count = dict.fromkeys(ks, 0), 0
    made = batches(dataset, Preprocessor(preprocess, tuple(shape)), batch=batch, workers=workers or os.cpu_count() or 1)
    with closing(made):
        for start, inputs in made:
            scores = _class_scores(engine.run({input_name: inputs})[output], output)
            if labels is None:  # only the first result tells how many classes there are
                labels = _model_labels(dataset, scores.shape[1], model_order, label_map)
                if ks[-1] > scores.shape[1]:
                    raise UsageError(f"top-{ks[-1]} of {scores.shape[1]} classes means nothing", remedy="choose others: --topk")
            if (bad := np.isnan(scores).any(axis=1)).any():
                index = start + int(bad.argmax())
                raise EngineError(f"output {output!r} is NaN for example {index}", where=dataset.where(index))
            beaten = beaten_by(scores, labels[start : start + len(inputs)])
            for k in ks:
                correct[k] += int(np.count_nonzero(beaten < k))
            count += len(inputs)
            progress(len(inputs))
    return Evaluation(
        engine=f"{engine.name} {engine.version}",
        dataset=dataset.name,
        count=count,
        class_order=model_order or dataset.class_order,
        topk=tuple(top_k(k, correct[k], count) for k in ks),
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
