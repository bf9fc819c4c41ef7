"""Concat and Slice (concat_layer.cpp, slice_layer.cpp)."""

from __future__ import annotations

import numpy as np

from caffe2neon.engines.caffe_embedded.registry import Layer, Tensor, layer


@layer("Concat", bottoms=(1, None))
def concat(layer: Layer) -> list[Tensor]:
    param = layer.param.concat_param
    axis = _axis(layer, param.axis, param.concat_dim, "concat_dim", param.HasField("axis"), param.HasField("concat_dim"))
    first = layer.bottoms[0]
    for bottom in layer.bottoms[1:]:
        same = bottom.rank == first.rank and all(
            one == other for index, (one, other) in enumerate(zip(first.shape, bottom.shape, strict=True)) if index != axis
        )
        layer.require(same, f"bottoms must have the same shape but for axis {axis}: {first.shape} and {bottom.shape}")
    if len(layer.bottoms) == 1:
        return [first]
    size = sum(bottom.shape[axis] for bottom in layer.bottoms)
    return [layer.op("Concat", *layer.bottoms, shape=(*first.shape[:axis], size, *first.shape[axis + 1 :]), axis=axis)]


@layer("Slice", tops=(1, None))
def slice_(layer: Layer) -> list[Tensor]:
    param = layer.param.slice_param
    axis = _axis(layer, param.axis, param.slice_dim, "slice_dim", param.HasField("axis"), param.HasField("slice_dim"))
    bottom = layer.bottoms[0]
    size = bottom.shape[axis]
    if param.slice_point:
        layer.require(len(param.slice_point) == layer.tops - 1, f"{layer.tops} tops need {layer.tops - 1} slice points")
        sizes = np.diff([0, *param.slice_point, size]).tolist()
        layer.require(min(sizes) > 0, f"slice points {list(param.slice_point)} do not cut axis {axis} of {size} into parts")
    else:
        layer.require(size % layer.tops == 0, f"{layer.tops} tops do not divide axis {axis} of {size} evenly")
        sizes = [size // layer.tops] * layer.tops
    if layer.tops == 1:
        return [bottom]
    names = layer.graph.add_many("Split", bottom.name, layer.name(sizes), outputs=layer.tops, axis=axis)
    return [Tensor(name, (*bottom.shape[:axis], part, *bottom.shape[axis + 1 :])) for name, part in zip(names, sizes, strict=True)]


def _axis(layer: Layer, axis: int, legacy: int, name: str, has_axis: bool, has_legacy: bool) -> int:
    layer.require(not (has_axis and has_legacy), f"give either axis or {name}, not both")
    return layer.axis(legacy if has_legacy else axis)
