"""Reduction (reduction_layer.cpp): the axes from one on become one number."""

from __future__ import annotations

from caffe2neon.caffe.caffe_pb2 import ReductionParameter
from caffe2neon.engines.caffe_embedded.registry import Layer, Tensor, layer


@layer("Reduction")
def reduction(layer: Layer) -> list[Tensor]:
    param = layer.param.reduction_param
    bottom = layer.bottoms[0]
    axis = layer.axis(param.axis)
    if param.operation == ReductionParameter.ASUM:
        bottom = layer.op("Abs", bottom)
    elif param.operation == ReductionParameter.SUMSQ:
        bottom = layer.op("Mul", bottom, bottom)
    mean = param.operation == ReductionParameter.MEAN
    top = layer.op("ReduceSum", bottom, range(axis, bottom.rank), shape=bottom.shape[:axis], keepdims=0)
    return [layer.op("Mul", top, param.coeff / bottom.count(axis) if mean else param.coeff)]
