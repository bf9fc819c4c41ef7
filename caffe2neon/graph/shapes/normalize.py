"""LRN, BatchNorm, Scale, Bias, MVN, Softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffe2neon.graph.shapes.registry import Shapes, axis, require, rule, show
from caffe2neon.records import Shape

if TYPE_CHECKING:
    from caffe2neon.caffe.caffe_pb2 import LayerParameter


@rule("LRN")
def _lrn(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    require(layer.lrn_param.local_size % 2 == 1, "LRN only supports odd values for local_size")
    require(len(bottoms[0]) == 4, f"needs a blob of 4 axes, not {show(bottoms[0])}")
    return Shapes((bottoms[0],))


@rule("BatchNorm")
def _batch_norm(_: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    channels = bottoms[0][1] if len(bottoms[0]) > 1 else 1
    return Shapes((bottoms[0],), ((channels,), (channels,), (1,)))


@rule("Scale", bottoms=range(1, 3))
def _scale(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    param = layer.scale_param
    shape = _covered(param.axis, param.num_axes, bottoms)
    params = () if len(bottoms) == 2 else (shape,)
    return Shapes((bottoms[0],), (*params, shape) if param.bias_term else params)


@rule("Bias", bottoms=range(1, 3))
def _bias(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    shape = _covered(layer.bias_param.axis, layer.bias_param.num_axes, bottoms)
    return Shapes((bottoms[0],), () if len(bottoms) == 2 else (shape,))


@rule("MVN")
def _mvn(_: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    return Shapes((bottoms[0],))


@rule("Softmax")
def _softmax(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    axis(layer.softmax_param.axis, bottoms[0])
    return Shapes((bottoms[0],))


def _covered(first: int, axes: int, bottoms: Sequence[Shape]) -> Shape:
    """The axes that a Scale's or Bias's own blob, or its second bottom, stretches over."""
    start = axis(first, bottoms[0])
    if len(bottoms) == 2:
        shape = bottoms[1]
        if not shape:
            return shape
        fits = bottoms[0][start : start + len(shape)] == shape
        require(fits, f"its second bottom, {show(shape)}, does not fit {show(bottoms[0])} from axis {start} on")
        return shape
    if axes == -1:
        return bottoms[0][start:]
    require(axes >= 0, f"num_axes is {axes}; it is -1 for all, or a number of axes")
    require(start + axes <= len(bottoms[0]), f"num_axes {axes} reaches past the end of {show(bottoms[0])}")
    return bottoms[0][start : start + axes]
