"""Layers that give the same values another shape, or take some of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffe2neon.graph.shapes.registry import Shapes, axis, count, require, rule, show
from caffe2neon.records import Shape

if TYPE_CHECKING:
    from caffe2neon.caffe.caffe_pb2 import LayerParameter


@rule("Flatten")
def _flatten(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    shape = bottoms[0]
    start = axis(layer.flatten_param.axis, shape)
    end = axis(layer.flatten_param.end_axis, shape)
    require(start <= end, f"end_axis {end} comes before axis {start}")
    return Shapes(((*shape[:start], count(shape[start : end + 1]), *shape[end + 1 :]),))


@rule("Reshape")
def _reshape(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    param, shape = layer.reshape_param, bottoms[0]
    start = param.axis if param.axis >= 0 else len(shape) + param.axis + 1
    require(0 <= start <= len(shape), f"axis {param.axis} is out of range for {show(shape)}")
    require(param.num_axes >= -1, f"num_axes is {param.num_axes}; it is -1 for all, or a number of axes")
    end = len(shape) if param.num_axes == -1 else start + param.num_axes
    require(end <= len(shape), f"axis {start} and num_axes {param.num_axes} reach past the end of {show(shape)}")
    wanted = list(param.shape.dim)
    require(wanted.count(-1) <= 1, "only one dimension may be -1")
    for i, size in enumerate(wanted):
        if size == 0:
            require(start + i < len(shape), f"dimension {i} copies an axis that {show(shape)} has not")
            wanted[i] = shape[start + i]
    if -1 in wanted:
        known = count(shape[:start]) * count(shape[end:]) * count(size for size in wanted if size != -1)
        require(known > 0 and count(shape) % known == 0, f"{count(shape)} values do not divide among the given dimensions")
        wanted[wanted.index(-1)] = count(shape) // known
    result = (*shape[:start], *wanted, *shape[end:])
    require(count(result) == count(shape), f"{show(shape)} and {show(result)} hold different numbers of values")
    return Shapes((result,))


@rule("Crop", bottoms=2)
def _crop(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    param, (shape, like) = layer.crop_param, bottoms
    start = axis(param.axis, shape)
    require(len(like) == len(shape), f"both bottoms need the same number of axes: {show(shape)}, {show(like)}")
    cropped = len(shape) - start
    require(len(param.offset) in (0, 1, cropped), f"has {len(param.offset)} offsets for {cropped} cropped axes")
    offsets = list(param.offset) or [0]
    offsets = offsets * cropped if len(offsets) == 1 else offsets
    for i, offset in enumerate(offsets, start):
        require(offset + like[i] <= shape[i], f"the crop of axis {i} is out of bounds: {offset} + {like[i]} > {shape[i]}")
    return Shapes(((*shape[:start], *like[start:]),))


@rule("Tile")
def _tile(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    shape = bottoms[0]
    along = axis(layer.tile_param.axis, shape)
    require(layer.tile_param.tiles > 0, "tiles must be given and positive")
    return Shapes(((*shape[:along], shape[along] * layer.tile_param.tiles, *shape[along + 1 :]),))


@rule("Reduction")
def _reduction(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    return Shapes((bottoms[0][: axis(layer.reduction_param.axis, bottoms[0])],))


@rule("ArgMax")
def _arg_max(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    param, shape = layer.argmax_param, bottoms[0]
    if param.HasField("axis"):
        along = axis(param.axis, shape)
        return Shapes(((*shape[:along], param.top_k, *shape[along + 1 :]),))
    rest = (1,) * (len(shape) - 3)
    return Shapes(((shape[0], 2 if param.out_max_val else 1, param.top_k, *rest),))
