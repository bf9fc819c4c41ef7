"""Flatten and Reshape (flatten_layer.cpp, reshape_layer.cpp): the same numbers, the same memory, another shape."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from caffe2neon.engines.caffe_embedded.registry import FORBIDDEN, Layer, Tensor, layer
from caffe2neon.records import Shape


@layer("Flatten", in_place=FORBIDDEN)
def flatten(layer: Layer) -> list[Tensor]:
    param = layer.param.flatten_param
    bottom = layer.bottoms[0]
    start, end = layer.axis(param.axis), layer.axis(param.end_axis) + 1
    layer.require(start <= end, f"end_axis {end - 1} lies before axis {start}")
    return [_sharing(layer, (*bottom.shape[:start], bottom.count(start, end), *bottom.shape[end:]))]


@layer("Reshape", in_place=FORBIDDEN)
def reshape(layer: Layer) -> list[Tensor]:
    param = layer.param.reshape_param
    bottom = layer.bottoms[0]
    start = param.axis if param.axis >= 0 else bottom.rank + param.axis + 1
    layer.require(0 <= start <= bottom.rank, f"axis {param.axis} is out of range for a blob of shape {bottom.shape}")
    layer.require(param.num_axes >= -1, f"num_axes must be -1 or more, not {param.num_axes}")
    end = bottom.rank if param.num_axes == -1 else start + param.num_axes
    layer.require(end <= bottom.rank, f"axis {start} and num_axes {param.num_axes} reach beyond a blob of shape {bottom.shape}")
    shape = (*bottom.shape[:start], *_new_axes(layer, start, end), *bottom.shape[end:])
    layer.require(prod(shape) == bottom.count(), f"a blob of shape {bottom.shape} cannot become one of shape {shape}")
    return [_sharing(layer, shape)]


def _new_axes(layer: Layer, start: int, end: int) -> Shape:
    bottom = layer.bottoms[0]
    sizes = list(layer.param.reshape_param.shape.dim)
    layer.require(sizes.count(-1) <= 1, "the new shape has -1 more than once")
    for index, size in enumerate(sizes):
        if size == 0:
            layer.require(start + index < bottom.rank, "the new shape has a 0 where the bottom has no axis to copy")
            sizes[index] = bottom.shape[start + index]
    if -1 in sizes:
        known = -prod(sizes)
        count = bottom.count(start, end)
        layer.require(known > 0 and count % known == 0, f"-1 cannot be inferred: {count} elements cannot be divided by {known}")
        sizes[sizes.index(-1)] = count // known
    return tuple(sizes)


def _sharing(layer: Layer, shape: Shape) -> Tensor:
    bottom = layer.bottoms[0]
    return replace(layer.reshape(bottom, shape), storage=bottom.storage)
