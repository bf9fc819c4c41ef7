"""Crop (crop_layer.cpp): a part of the first bottom, as large as the second."""

from __future__ import annotations

import numpy as np

from caffe2neon.engines.caffe_embedded.registry import Layer, Tensor, layer


@layer("Crop", bottoms=(2, 2))
def crop(layer: Layer) -> list[Tensor]:
    param = layer.param.crop_param
    data, like = layer.bottoms
    start = layer.axis(param.axis)
    cropped = data.rank - start
    layer.require(len(param.offset) in (0, 1, cropped), f"there are {len(param.offset)} offsets for {cropped} axes to crop")
    layer.require(like.rank >= data.rank, f"a blob of shape {like.shape} does not say how to crop one of shape {data.shape}")
    offsets = list(param.offset) if len(param.offset) == cropped else [*param.offset, 0][:1] * cropped
    sizes = like.shape[start : data.rank]
    for index, (offset, size) in enumerate(zip(offsets, sizes, strict=True), start):
        layer.require(
            offset + size <= data.shape[index], f"cannot crop axis {index} of {data.shape[index]} to {size} from offset {offset} on"
        )
    ends = [offset + size for offset, size in zip(offsets, sizes, strict=True)]
    bounds = [np.array(values, np.int64) for values in (offsets, ends, range(start, data.rank))]
    return [layer.op("Slice", data, *bounds, shape=(*data.shape[:start], *sizes))]
