"""Scale and Bias (scale_layer.cpp, bias_layer.cpp): a factor, a summand, learnt or a second bottom."""

from __future__ import annotations

from caffe2neon.engines.caffe_embedded.registry import FINE, Layer, Operand, Tensor, layer
from caffe2neon.records import Shape


@layer("Scale", bottoms=(1, 2), in_place=FINE)
def scale(layer: Layer) -> list[Tensor]:
    param = layer.param.scale_param
    bottom = layer.bottoms[0]
    given = layer.bottoms[1] if len(layer.bottoms) > 1 else None
    factor_shape = given.shape if given else _learnt_shape(layer, param.axis, param.num_axes)
    bias_shape = _learnt_shape(layer, param.axis, given.rank if given else param.num_axes) if param.bias_term else None
    shapes = [shape for shape in (None if given else factor_shape, bias_shape) if shape is not None]
    learnt = list(layer.weights(*shapes))
    factor: Operand = given or learnt[0]
    top = layer.op("Mul", bottom, _aligned(layer, factor, factor_shape, param.axis))
    if bias_shape is not None:
        top = layer.op("Add", top, _aligned(layer, learnt[-1], bias_shape, param.axis))
    return [top]


@layer("Bias", bottoms=(1, 2), in_place=FINE)
def bias(layer: Layer) -> list[Tensor]:
    param = layer.param.bias_param
    if len(layer.bottoms) > 1:
        summand: Operand = layer.bottoms[1]
        shape = layer.bottoms[1].shape
    else:
        shape = _learnt_shape(layer, param.axis, param.num_axes)
        (summand,) = layer.weights(shape)
    return [layer.op("Add", layer.bottoms[0], _aligned(layer, summand, shape, param.axis))]


def _learnt_shape(layer: Layer, axis: int, axes: int) -> Shape:
    """The bottom's axes from ``axis`` on, as many as ``axes`` says; -1 means all."""
    shape = layer.bottoms[0].shape
    start = layer.axis(axis)
    layer.require(axes >= -1, f"num_axes must be -1 or more, not {axes}")
    layer.require(start + axes <= len(shape), f"{axes} axes from axis {start} on are more than a blob of shape {shape} has")
    return shape[start:] if axes == -1 else shape[start : start + axes]


def _aligned(layer: Layer, operand: Operand, shape: Shape, axis: int) -> Operand:
    """``operand`` with ones after it, so that its axes meet the bottom's from ``axis`` on."""
    bottom = layer.bottoms[0].shape
    start = layer.axis(axis) if shape else 0
    fits = bottom[start : start + len(shape)] == shape
    layer.require(fits, f"a blob of shape {shape} does not fit one of shape {bottom} from axis {start} on")
    column = (*shape, *[1] * (len(bottom) - start - len(shape)))
    if isinstance(operand, Tensor):
        return layer.reshape(operand, column)
    return operand.reshape(column)  # type: ignore[union-attr]
