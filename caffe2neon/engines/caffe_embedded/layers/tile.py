"""Tile (tile_layer.cpp)."""

from __future__ import annotations

import numpy as np

from caffe2neon.engines.caffe_embedded.registry import Layer, Tensor, layer


@layer("Tile")
def tile(layer: Layer) -> list[Tensor]:
    param = layer.param.tile_param
    bottom = layer.bottoms[0]
    axis = layer.axis(param.axis)
    layer.require(param.tiles > 0, "tiles must be given, and positive")
    repeats = np.ones(bottom.rank, np.int64)
    repeats[axis] = param.tiles
    shape = (*bottom.shape[:axis], bottom.shape[axis] * param.tiles, *bottom.shape[axis + 1 :])
    return [layer.op("Tile", bottom, repeats, shape=shape)]
