"""Element-wise layers of one bottom: the shape stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffe2neon.graph.shapes.registry import Shapes, require, rule, show
from caffe2neon.records import Shape

if TYPE_CHECKING:
    from caffe2neon.caffe.caffe_pb2 import LayerParameter


@rule("ReLU", "Sigmoid", "TanH", "ELU", "Dropout", "AbsVal", "BNLL", "Clip", "Exp", "Log", "Power", "Swish", "Threshold")
def _same(_: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    return Shapes((bottoms[0],))


@rule("PReLU")
def _prelu(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    require(len(bottoms[0]) > 1, f"needs channels on axis 1, and its bottom is {show(bottoms[0])}")
    return Shapes((bottoms[0],), ((),) if layer.prelu_param.channel_shared else ((bottoms[0][1],),))
