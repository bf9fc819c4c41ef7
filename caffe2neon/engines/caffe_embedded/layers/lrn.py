"""LRN (lrn_layer.cpp)."""

from __future__ import annotations

from caffe2neon.caffe.caffe_pb2 import LRNParameter
from caffe2neon.engines.caffe_embedded.registry import FINE, Layer, Tensor, layer


@layer("LRN", in_place=FINE)
def lrn(layer: Layer) -> list[Tensor]:
    param = layer.param.lrn_param
    bottom = layer.bottoms[0]
    size = param.local_size
    layer.require(size % 2 == 1, f"local_size must be odd, not {size}")
    layer.require(bottom.rank == 4, f"LRN takes blobs with 4 axes, not {bottom.shape}")
    if param.norm_region == LRNParameter.ACROSS_CHANNELS:
        layer.require(
            not layer.in_place, "in place, Caffe overwrites the input with scale^-beta before it multiplies: not what LRN means"
        )
        return [layer.op("LRN", bottom, size=size, alpha=param.alpha, beta=param.beta, bias=param.k)]
    # a spatial average of squares over the padded window; k is not used here
    squares = layer.op("Mul", bottom, bottom)
    half = size // 2
    mean = layer.op("AveragePool", squares, kernel_shape=[size] * 2, strides=[1, 1], pads=[half] * 4, count_include_pad=1)
    scale = layer.op("Add", layer.op("Mul", mean, param.alpha), 1.0)
    return [layer.op("Mul", bottom, layer.op("Pow", scale, -param.beta))]
