"""What every engine offers, real or embedded: a model, opened, that turns inputs into named blobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from caffe2neon.records import Array, MacrobatchPart, Shape


class Engine(Protocol):
    """An opened model.

    ``inputs`` maps input names to shapes without the batch axis; ``outputs`` names the outputs in the model's order. ``taps`` names
    all that :meth:`run` can also return: blob keys of a Caffe net (``conv1``, ``conv1#1``), layer names of a neon model.
    """

    @property
    def name(self) -> str:
        """``neon-embedded``, ``caffe-embedded``, ``neon`` or ``caffe``."""

    @property
    def version(self) -> str:
        """Of the program that computes."""

    @property
    def inputs(self) -> Mapping[str, Shape]: ...

    @property
    def outputs(self) -> tuple[str, ...]: ...

    @property
    def taps(self) -> tuple[str, ...]: ...

    def run(self, inputs: Mapping[str, Array], taps: Sequence[str] = ()) -> dict[str, Array]:
        """Compute all outputs, and what ``taps`` names, as float32 arrays with the batch axis first.

        Raises:
            EngineError: an input is missing or has another shape, or the program failed.
        """


@runtime_checkable
class Measuring(Engine, Protocol):
    """An engine whose program has its own notion of accuracy: neon, with ``TopKMisclassification`` over its data iterators."""

    @property
    def at_once(self) -> int:
        """How many examples are worth a process of the program."""

    @property
    def has_image_loader(self) -> bool:
        """Whether :meth:`misclassified_macrobatches` can read pictures: neon's loader library is built."""

    def misclassified(
        self, data: Array, labels: NDArray[np.int64], classes: int, *, output: str, topk: Sequence[int]
    ) -> NDArray[np.float32]:
        """For each of N examples and K values of k, (N, K): 0 where the true class is among the top k, 1 where it is not, and
        on a GPU between them where scores tie; NaN where a score is none or infinite.

        Args:
            data: of the one input, float32, (N, C, H, W) or (N, n).
            labels: (N,), each below ``classes``.
            output: the one to measure.

        Raises:
            EngineError: the program failed.
        """

    def misclassified_macrobatches(
        self, part: MacrobatchPart, *, output: str, topk: Sequence[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """As :meth:`misclassified`, of pictures that neon's ``ImageLoader`` reads; and their labels, (N,), as it read them."""
