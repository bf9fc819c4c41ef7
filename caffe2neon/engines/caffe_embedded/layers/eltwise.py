"""Eltwise (eltwise_layer.cpp): sum, product or maximum of equal blobs."""

from __future__ import annotations

from caffe2neon.caffe.caffe_pb2 import EltwiseParameter
from caffe2neon.engines.caffe_embedded.registry import FINE, Layer, Tensor, layer


@layer("Eltwise", bottoms=(2, None), in_place=FINE)
def eltwise(layer: Layer) -> list[Tensor]:
    param = layer.param.eltwise_param
    bottoms = layer.bottoms
    layer.require(len(param.coeff) in (0, len(bottoms)), f"there are {len(param.coeff)} coeff for {len(bottoms)} bottoms")
    layer.require(not (param.coeff and param.operation == EltwiseParameter.PROD), "coeff is for sums, not for products")
    for bottom in bottoms[1:]:
        layer.require(bottom.shape == bottoms[0].shape, f"bottoms of different shapes: {bottoms[0].shape} and {bottom.shape}")
    layer.require(
        not layer.in_place or param.operation == EltwiseParameter.PROD,
        "in place, Caffe clears its first bottom before it reads it, which leaves that bottom out of the result",
    )
    if param.operation == EltwiseParameter.SUM and param.coeff:
        bottoms = tuple(layer.op("Mul", bottom, coeff) for bottom, coeff in zip(bottoms, param.coeff, strict=True))
    operator = {EltwiseParameter.PROD: "Mul", EltwiseParameter.SUM: "Add", EltwiseParameter.MAX: "Max"}[param.operation]
    top = bottoms[0]
    for bottom in bottoms[1:]:
        top = layer.op(operator, top, bottom)
    return [top]
