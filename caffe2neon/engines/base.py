"""What every engine offers, real or embedded: a model, opened, that turns inputs into named blobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from caffe2neon.records import Array, Shape


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
