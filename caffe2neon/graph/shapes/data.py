"""Layers that bring blobs into a net."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffe2neon.graph.shapes.registry import Shapes, at_least, require, rule
from caffe2neon.records import Shape

if TYPE_CHECKING:
    from caffe2neon.caffe.caffe_pb2 import LayerParameter


@rule("Input", bottoms=0)
def _input(layer: LayerParameter, _: Sequence[Shape]) -> Shapes:
    shapes = [tuple(shape.dim) for shape in layer.input_param.shape]
    require(len(shapes) in (1, len(layer.top)), f"has {len(shapes)} shapes for {len(layer.top)} top(s): needs one, or one per top")
    if len(shapes) == 1:
        shapes *= len(layer.top)
    require(all(shapes), "an input shape has no dimensions")
    return Shapes(tuple(shapes))


@rule("DummyData", bottoms=0)
def _dummy_data(layer: LayerParameter, _: Sequence[Shape]) -> Shapes:
    param = layer.dummy_data_param
    if param.shape:
        shapes = [tuple(shape.dim) for shape in param.shape]
        require(len(shapes) in (1, len(layer.top)), f"has {len(shapes)} shapes for {len(layer.top)} top(s)")
        return Shapes(tuple(shapes * len(layer.top)) if len(shapes) == 1 else tuple(shapes))
    sizes = [param.num, param.channels, param.height, param.width]
    fits = all(len(values) in (1, len(layer.top)) for values in sizes)
    require(fits, f"needs num, channels, height and width once, or once for each of {len(layer.top)} top(s)")
    each = [list(values) * len(layer.top) if len(values) == 1 else list(values) for values in sizes]
    return Shapes(tuple(zip(*each, strict=True)))


@rule("Silence", bottoms=at_least(1))
def _silence(_: LayerParameter, __: Sequence[Shape]) -> Shapes:
    return Shapes(())
