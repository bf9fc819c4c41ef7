"""Dropout (dropout_layer.cpp): nothing, outside training."""

from __future__ import annotations

from caffe2neon.engines.caffe_embedded.registry import FINE, Layer, Tensor, layer
from caffe2neon.errors import EngineError


@layer("Dropout", in_place=FINE)
def dropout(layer: Layer) -> list[Tensor]:
    if layer.training:
        raise EngineError("Dropout in phase TRAIN is random; this engine computes phase TEST")
    bottom = layer.bottoms[0]
    return [Tensor(bottom.name, bottom.shape)]
