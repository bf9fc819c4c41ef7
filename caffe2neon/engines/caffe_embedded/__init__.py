"""The engine ``caffe-embedded``: a Caffe net, computed by the rules of Caffe HEAD, without Caffe.

The net is translated to an ONNX graph, one function a layer type, and run by ONNX Runtime. The translation shares nothing with the
converter: it counts blob versions, infers shapes and binds weights by itself, so that a mistake in one of them shows in the other.

``registry`` says what a layer's function gets and returns, ``layers/`` holds the functions, ``params`` binds weights, ``translate``
walks a net, ``engine`` runs the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from caffe2neon.records import CaffeNet, CaffeWeights, Shape

if TYPE_CHECKING:
    from caffe2neon.engines.base import Engine

__all__ = ["open_caffe_embedded"]


def open_caffe_embedded(
    net: CaffeNet, weights: CaffeWeights, *, batch: int | None = None, threads: int = 0, shapes: Mapping[str, Shape] | None = None
) -> Engine:
    """Open ``net`` with ``weights``.

    Inputs are the tops of Input layers, and of data layers (Data, ImageData, HDF5Data, MemoryData, WindowData): these take what
    Caffe hands to the net after its transformations. Outputs and taps are blob keys: ``fc8``, or ``fc8#1`` after one layer in
    place. Outputs are the blobs nobody reads, in the order of their layers (Caffe itself lists them by name).

    Args:
        batch: replaces the first axis of every input; None keeps what the net says.
        threads: of ONNX Runtime; 0 means one a core.
        shapes: of inputs whose shape the net does not say, batch axis included; they also replace what it says.

    Raises:
        GraphError: Caffe would refuse this net, or computes there what nobody means. It goes before any WeightsError.
        WeightsError: the weights do not fit the net.
        EngineError: a layer type this engine does not know, or an input without a shape.
    """
    from caffe2neon.engines.caffe_embedded.engine import CaffeEmbedded

    return CaffeEmbedded(net, weights, batch, threads, shapes or {})
