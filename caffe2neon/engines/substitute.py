"""An engine that stands in for another, and says so wherever it is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from caffe2neon.engines.base import Engine
from caffe2neon.records import Array, Shape


class Substitute:
    """``engine``; its version carries the ``reason`` why the preferred one does not compute, so that reports show it."""

    def __init__(self, engine: Engine, reason: str) -> None:
        self._engine, self._reason = engine, reason

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def version(self) -> str:
        return f"{self._engine.version} ({self._reason})"

    @property
    def inputs(self) -> Mapping[str, Shape]:
        return self._engine.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._engine.outputs

    @property
    def taps(self) -> tuple[str, ...]:
        return self._engine.taps

    def run(self, inputs: Mapping[str, Array], taps: Sequence[str] = ()) -> dict[str, Array]:
        """See :class:`caffe2neon.engines.base.Engine`."""
        return self._engine.run(inputs, taps)
