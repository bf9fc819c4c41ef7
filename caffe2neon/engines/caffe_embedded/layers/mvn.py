"""MVN (mvn_layer.cpp): divides by the deviation plus eps, and makes every blob 4-D."""

from __future__ import annotations

from caffe2neon.engines.caffe_embedded.registry import FINE, Layer, Tensor, layer


@layer("MVN", in_place=FINE)
def mvn(layer: Layer) -> list[Tensor]:
    param = layer.param.mvn_param
    shape = layer.bottoms[0].shape
    layer.require(len(shape) <= 4, f"MVN takes blobs with at most 4 axes, not {shape}")
    bottom = layer.reshape(layer.bottoms[0], (*shape, *[1] * (4 - len(shape))))
    axes = [1, 2, 3] if param.across_channels else [2, 3]
    means = (bottom.shape[0], 1 if param.across_channels else bottom.shape[1], 1, 1)
    centred = layer.op("Sub", bottom, layer.op("ReduceMean", bottom, shape=means, axes=axes, keepdims=1))
    if not param.normalize_variance:
        return [centred]
    variance = layer.op("ReduceMean", layer.op("Mul", centred, centred), shape=means, axes=axes, keepdims=1)
    return [layer.op("Div", centred, layer.op("Add", layer.op("Sqrt", variance), param.eps))]
