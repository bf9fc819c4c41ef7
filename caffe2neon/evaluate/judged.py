"""What is to be measured, in one record, and what each way to measure gives for every example."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caffe2neon.engines.base import Engine
from caffe2neon.errors import DataError, EngineError, UsageError
from caffe2neon.evaluate.dataset import Dataset
from caffe2neon.evaluate.prefetch import Batch, batches
from caffe2neon.evaluate.preprocess import Preprocessor
from caffe2neon.records import Array, Preprocess


class Judged(NamedTuple):
    """A stretch of examples: ``right`` is float64, (n, K), 1 where the model is right within the top k of ``topk``.

    ``indices`` are theirs; ``skipped`` says of each other one of this stretch what is wrong with it.
    """

    indices: NDArray[np.int64]
    right: NDArray[np.float64]
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """One output of an engine with one input, on the examples ``part`` of a data set, for the values ``topk`` of k."""

    engine: Engine
    output: str
    dataset: Dataset
    preprocess: Preprocess
    part: range
    topk: tuple[int, ...]
    model_order: str
    label_map: Array | None
    skip_bad: bool
    batch: int
    workers: int

    @property
    def input(self) -> str:
        return next(iter(self.engine.inputs))

    @property
    def preprocessor(self) -> Preprocessor:
        return Preprocessor(self.preprocess, tuple(self.engine.inputs[self.input]))

    def batches(self, size: int) -> Generator[Batch]:
        """The examples, ``size`` at once; see :func:`~caffe2neon.evaluate.prefetch.batches`. Close it to stop early."""
        return batches(
            self.dataset, self.preprocessor, self.part, batch=size, workers=self.workers, skip_bad=self.skip_bad
        )

    def scores(self, inputs: Array) -> Array:
        """What the engine says of each class: (N, C, H, W) -> (N, classes).

        Raises:
            DataError: (N, classes, 1, ...) is a classifier's output, anything more is none.
        """
        scores = self.engine.run({self.input: inputs})[self.output]
        if scores.ndim < 2 or any(size != 1 for size in scores.shape[2:]):
            raise DataError(
                f"output {self.output!r} has the shape {tuple(scores.shape[1:])} for each example, not one score a class",
                remedy="measure another output, or a model that ends in class scores",
            )
        return scores.reshape(scores.shape[:2])

    def labels(self, classes: int) -> NDArray[np.int64]:
        """The data set's labels, all of them, in the model's class order.

        Raises:
            DataError: a label is none of the model's classes; or the orders differ, and no map fits.
            UsageError: a ``k`` is above the number of classes.
        """
        if self.topk[-1] > classes:
            raise UsageError(f"top-{self.topk[-1]} of {classes} classes means nothing", remedy="choose others: --topk")
        dataset, labels = self.dataset, self.dataset.labels
        if (outside := labels >= classes).any():
            index = int(outside.argmax())
            message = f"label {labels[index]} of example {index} is not one of the model's {classes} classes"
            raise DataError(message, where=dataset.where(index), remedy="is it the data set, or the model, that you mean?")
        if not self.reordered:
            return labels
        if self.label_map is None or not np.array_equal(np.sort(self.label_map), np.arange(classes)):
            raise DataError(
                f"labels are in {dataset.class_order}'s class order, the model is in {self.model_order}'s, "
                f"and no map between them fits its {classes} classes",
                remedy="leave the class order out: only ILSVRC12's 1000 classes have two",
            )
        order = np.asarray(self.label_map, np.int64)
        return (order if dataset.class_order == "neon" else np.argsort(order))[labels]

    @property
    def reordered(self) -> bool:
        """Whether the model's classes are in another order than the data set's."""
        return bool(self.model_order) and bool(self.dataset.class_order) and self.model_order != self.dataset.class_order

    def require_numbers(self, values: NDArray[np.float32], indices: NDArray[np.int64]) -> None:
        """Raises:
        EngineError: what the engine says, (n, ...), of one of these examples is NaN or infinite.
        """
        if (bad := ~np.isfinite(values).reshape(len(values), -1).all(axis=1)).any():
            index = int(indices[bad.argmax()])
            raise EngineError(f"output {self.output!r} is NaN or infinite for example {index}", where=self.dataset.where(index))
