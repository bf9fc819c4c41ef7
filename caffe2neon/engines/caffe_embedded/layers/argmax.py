"""ArgMax (argmax_layer.cpp): indices, values, or both, of the largest; among equals the last comes first."""

from __future__ import annotations

import numpy as np

from caffe2neon.engines.caffe_embedded.registry import Layer, Tensor, layer


@layer("ArgMax")
def argmax(layer: Layer) -> list[Tensor]:
    param = layer.param.argmax_param
    bottom = layer.bottoms[0]
    layer.require(param.top_k >= 1, "top_k must be at least 1")
    if param.HasField("axis"):
        axis = layer.axis(param.axis)
        values, indices = _largest(layer, bottom, axis)
        return [values if param.out_max_val else indices]
    rows = layer.reshape(bottom, (bottom.shape[0], bottom.count(1)))
    values, indices = _largest(layer, rows, 1)
    ones = [1] * max(bottom.rank - 3, 0)
    if not param.out_max_val:
        return [layer.reshape(indices, (bottom.shape[0], 1, param.top_k, *ones))]
    # (N, k), (N, k) -> (N, 2k) -> (N, 2, k)
    both = layer.op("Concat", indices, values, shape=(bottom.shape[0], 2 * param.top_k), axis=1)
    return [layer.reshape(both, (bottom.shape[0], 2, param.top_k, *ones))]


def _largest(layer: Layer, tensor: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    count, size = layer.param.argmax_param.top_k, tensor.shape[axis]
    layer.require(count <= size, f"top_k {count} is more than there are: {size}")
    # ONNX takes the first among equals, so it gets the axis backwards
    steps = ([-1], [-size - 1], [axis], [-1])
    backwards = layer.op("Slice", tensor, *(np.array(step, np.int64) for step in steps))
    shape = (*tensor.shape[:axis], count, *tensor.shape[axis + 1 :])
    names = layer.graph.add_many("TopK", backwards.name, layer.name([count]), outputs=2, axis=axis, largest=1, sorted=1)
    values, indices = (Tensor(name, shape) for name in names)
    forwards = layer.op("Sub", Tensor(layer.name(np.array(size - 1, np.int64)), ()), indices, shape=shape)
    return values, layer.op("Cast", forwards, to=1)
