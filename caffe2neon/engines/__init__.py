"""Who computes: engines that run a Caffe net or a neon model, real or embedded, all behind one protocol (``base.Engine``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caffe2neon.errors import EngineError
from caffe2neon.records import CaffeNet, CaffeWeights

if TYPE_CHECKING:
    from caffe2neon.engines.base import Engine

__all__ = ["open_caffe"]


def open_caffe(net: CaffeNet, weights: CaffeWeights, *, engine: str = "auto", batch: int | None = None, threads: int = 0) -> Engine:
    """Open a Caffe net with its weights.

    Args:
        engine: ``embedded``, ``caffe``, or ``auto``, the best there is.
        batch: replaces the first axis of every input; None keeps what the net says.
        threads: for computing; 0 means one a core.

    Raises:
        GraphError: Caffe would refuse this net.
        WeightsError: the weights do not fit the net.
        EngineError: the engine is not there, or does not know a layer type of this net.
    """
    if engine == "caffe":
        remedy = "It needs the image in docker/, and CAFFE2NEON_CAFFE_PYTHON; or take the engine 'embedded'."
        raise EngineError("the real Caffe engine is not available here", remedy=remedy)
    if engine not in ("auto", "embedded"):
        raise EngineError(f"there is no Caffe engine {engine!r}", remedy="The engines are auto, embedded and caffe.")
    from caffe2neon.engines.caffe_embedded import open_caffe_embedded

    return open_caffe_embedded(net, weights, batch=batch, threads=threads)
