"""Layers that join blobs, or take one apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from caffe2neon.graph.shapes.registry import Shapes, at_least, axis, legacy_axis, require, rule, show
from caffe2neon.records import Shape

if TYPE_CHECKING:
    from caffe2neon.caffe.caffe_pb2 import LayerParameter


@rule("Concat", bottoms=at_least(1))
def _concat(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    param = layer.concat_param
    require(not (param.HasField("axis") and param.HasField("concat_dim")), "sets both axis and concat_dim")
    along = legacy_axis(param.concat_dim, bottoms[0]) if param.HasField("concat_dim") else axis(param.axis, bottoms[0])
    rest = {shape[:along] + shape[along + 1 :] for shape in bottoms}
    require(len(rest) == 1, f"all bottoms must agree but for axis {along}: {', '.join(map(show, bottoms))}")
    total = sum(shape[along] for shape in bottoms)
    return Shapes(((*bottoms[0][:along], total, *bottoms[0][along + 1 :]),))


@rule("Eltwise", bottoms=at_least(2))
def _eltwise(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    param = layer.eltwise_param
    require(len(param.coeff) in (0, len(bottoms)), f"has {len(param.coeff)} coefficients for {len(bottoms)} bottoms")
    require(not (param.coeff and param.operation == param.PROD), "coefficients go with summation only")
    require(len(set(bottoms)) == 1, f"all bottoms must have one shape: {', '.join(map(show, bottoms))}")
    return Shapes((bottoms[0],))


@rule("Split")
def _split(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    return Shapes((bottoms[0],) * len(layer.top))


@rule("Slice")
def _slice(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    param, shape = layer.slice_param, bottoms[0]
    require(not (param.HasField("axis") and param.HasField("slice_dim")), "sets both axis and slice_dim")
    along = legacy_axis(param.slice_dim, shape) if param.HasField("slice_dim") else axis(param.axis, shape)
    size, tops = shape[along], len(layer.top)
    if param.slice_point:
        require(len(param.slice_point) == tops - 1, f"has {len(param.slice_point)} slice points for {tops} tops")
        bounds = [0, *param.slice_point, size]
        require(bounds == sorted(set(bounds)), f"slice points must grow and stay below {size}")
        sizes = [end - start for start, end in pairwise(bounds)]
    else:
        require(size % tops == 0, f"{size} values along axis {along} do not divide among {tops} tops")
        sizes = [size // tops] * tops
    return Shapes(tuple((*shape[:along], part, *shape[along + 1 :]) for part in sizes))


@rule("BatchReindex", bottoms=2)
def _batch_reindex(_: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    require(len(bottoms[1]) == 1, f"its second bottom lists examples along one axis, not {show(bottoms[1])}")
    require(len(bottoms[0]) > 0, "its first bottom is a scalar, which has no examples")
    return Shapes(((bottoms[1][0], *bottoms[0][1:]),))
