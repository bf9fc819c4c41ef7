"""BatchNorm (batch_norm_layer.cpp): the stored statistics, or the batch's own."""

from __future__ import annotations

import numpy as np

from caffe2neon.engines.caffe_embedded.registry import FINE, Layer, Tensor, layer


@layer("BatchNorm", in_place=FINE)
def batch_norm(layer: Layer) -> list[Tensor]:
    param = layer.param.batch_norm_param
    bottom = layer.bottoms[0]
    layer.require(bottom.rank >= 2, f"BatchNorm needs a channel axis; the blob has shape {bottom.shape}")
    channels = bottom.shape[1]
    column = (channels, *[1] * (bottom.rank - 2))
    mean, variance, factor = layer.weights((channels,), (channels,), (1,))
    stored = param.use_global_stats if param.HasField("use_global_stats") else not layer.training
    if stored:
        scale = np.float32(0) if factor[0] == 0 else np.float32(1) / factor[0]
        with np.errstate(invalid="ignore"):  # a negative variance gives NaN in Caffe too
            deviation = np.sqrt(variance * scale + np.float32(param.eps))
        centred = layer.op("Sub", bottom, (mean * scale).reshape(column))
        return [layer.op("Div", centred, deviation.reshape(column))]
    axes = [0, *range(2, bottom.rank)]
    shape = (1, *column)
    centred = layer.op("Sub", bottom, layer.op("ReduceMean", bottom, shape=shape, axes=axes, keepdims=1))
    squares = layer.op("Mul", centred, centred)
    spread = layer.op("Add", layer.op("ReduceMean", squares, shape=shape, axes=axes, keepdims=1), param.eps)
    return [layer.op("Div", centred, layer.op("Sqrt", spread))]
