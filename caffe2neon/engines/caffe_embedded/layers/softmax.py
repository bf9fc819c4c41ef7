"""Softmax (softmax_layer.cpp)."""

from __future__ import annotations

from caffe2neon.engines.caffe_embedded.registry import FINE, Layer, Tensor, layer


@layer("Softmax", in_place=FINE)
def softmax(layer: Layer) -> list[Tensor]:
    return [layer.op("Softmax", *layer.bottoms, axis=layer.axis(layer.param.softmax_param.axis))]
