"""Top-k accuracy as neon itself measures it: its ``TopKMisclassification`` over its own data iterators."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from caffe2neon.engines.base import Measuring
from caffe2neon.errors import EngineError
from caffe2neon.evaluate.judged import Judged, Measurement
from caffe2neon.evaluate.macrobatch import Macrobatches
from caffe2neon.records import MacrobatchPart


def by_neon(engine: Measuring, measurement: Measurement) -> tuple[str, Generator[Judged]]:
    """How it is measured, in words, and what comes of it.

    Macrobatches go through neon's ``ImageLoader`` where its loader is built and can do what the model asks for; all else is read
    here, as for any engine, and goes through ``ArrayIterator``.

    Raises:
        DataError, PictureError, EngineError, UsageError: while it is measured; see :func:`~caffe2neon.evaluate.measure.count`.
    """
    metric, dataset = "neon's TopKMisclassification over its", measurement.dataset
    classes = measurement.scores(np.zeros((1, *measurement.preprocessor.shape), np.float32)).shape[1]  # which only running it tells
    labels = measurement.labels(classes)
    if not isinstance(dataset, Macrobatches):
        return f"{metric} ArrayIterator", _by_array(engine, measurement, classes, labels)
    if reason := _beyond_image_loader(engine, measurement, dataset, classes):
        return f"{metric} ArrayIterator, as ImageLoader {reason}", _by_array(engine, measurement, classes, labels)
    method = f"{metric} ImageLoader with scale_range={_scale_range(measurement)}"
    return method, _by_image_loader(engine, measurement, dataset, labels)


def _by_array(
    engine: Measuring, measurement: Measurement, classes: int, labels: NDArray[np.int64]
) -> Generator[Judged]:
    with closing(measurement.batches(engine.at_once)) as made:
        for indices, inputs, skipped in made:
            right = np.empty((0, len(measurement.topk)))
            if len(indices):
                wrong = engine.misclassified(inputs, labels[indices], classes, output=measurement.output, topk=measurement.topk)
                right = _right(measurement, wrong, indices)
            yield Judged(indices, right, skipped)


def _by_image_loader(
    engine: Measuring, measurement: Measurement, dataset: Macrobatches, labels: NDArray[np.int64]
) -> Generator[Judged]:
    part, size = measurement.part, measurement.preprocessor.shape[-1]
    scale_range, mean = _scale_range(measurement), _whole_mean(measurement)
    for start in range(part.start, part.stop, engine.at_once):
        examples = range(start, min(start + engine.at_once, part.stop))
        for index in examples:
            dataset.picture(index, measurement.preprocess.channel_order)  # neon would not say which picture is broken
        first, skip = dataset.place(start)
        asked = MacrobatchPart(dataset.folder, dataset.subset, first, skip, len(examples), size, scale_range, mean)
        read, wrong = engine.misclassified_macrobatches(asked, output=measurement.output, topk=measurement.topk)
        for index, label in zip(examples, read.tolist(), strict=True):
            if label != labels[index]:
                message = f"neon's ImageLoader reads label {label} of example {index} where {labels[index]} is written"
                raise EngineError(message, where=dataset.where(index), remedy="use the embedded engine")
        indices = np.array(examples)
        yield Judged(indices, _right(measurement, wrong, indices))


def _right(measurement: Measurement, wrong: NDArray[np.float32], indices: NDArray[np.int64]) -> NDArray[np.float64]:
    measurement.require_numbers(wrong, indices)
    return 1 - wrong.astype(np.float64)


def _beyond_image_loader(engine: Measuring, measurement: Measurement, dataset: Macrobatches, classes: int) -> str:
    """Why neon's ``ImageLoader`` cannot read these pictures for this model; "" where it can."""
    preprocess, shape = measurement.preprocess, measurement.preprocessor.shape
    resize = preprocess.resize
    reasons = {
        "is not built": not engine.has_image_loader,
        "cannot leave out pictures": measurement.skip_bad,
        "cannot reorder labels": measurement.reordered,
        "wants nclass in macrobatch_meta to be the model's": dataset.classes != classes,
        "gives blue, green, red": preprocess.channel_order != "BGR" or shape[0] != 3,
        "gives squares": shape[1] != shape[2] or (resize is not None and resize[0] != resize[1]),
        "resizes all pictures": resize is None,
        "does not scale pixels": preprocess.scale != 1,
        "subtracts whole numbers": any(value != int(value) for value in preprocess.mean),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _scale_range(measurement: Measurement) -> int:
    """The shorter side before the centre is cut out; 0 takes the whole picture."""
    preprocess = measurement.preprocess
    return preprocess.resize[0] if preprocess.crop and preprocess.resize else 0


def _whole_mean(measurement: Measurement) -> tuple[int, int, int]:
    mean = tuple(map(int, measurement.preprocess.mean))
    blue, green, red = mean if len(mean) == 3 else (mean or (0,)) * 3
    return blue, green, red
