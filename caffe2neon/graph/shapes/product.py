"""InnerProduct and Embed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffe2neon.graph.shapes.registry import Shapes, axis, count, require, rule
from caffe2neon.records import Shape

if TYPE_CHECKING:
    from caffe2neon.caffe.caffe_pb2 import LayerParameter


@rule("InnerProduct")
def _inner_product(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    param, shape = layer.inner_product_param, bottoms[0]
    start = axis(param.axis, shape)
    outputs, inputs = param.num_output, count(shape[start:])
    require(outputs > 0, "num_output must be given and positive")
    weight = (inputs, outputs) if param.transpose else (outputs, inputs)
    return Shapes(((*shape[:start], outputs),), (weight, (outputs,)) if param.bias_term else (weight,))


@rule("Embed")
def _embed(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    param = layer.embed_param
    weight = (param.input_dim, param.num_output)
    return Shapes(((*bottoms[0], param.num_output),), (weight, (param.num_output,)) if param.bias_term else (weight,))
