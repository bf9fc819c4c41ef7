"""Convolution, Deconvolution, Pooling, Im2col."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from caffe2neon.errors import GraphError
from caffe2neon.graph.shapes.registry import Shapes, at_least, axis, require, rule, show
from caffe2neon.records import Shape

if TYPE_CHECKING:
    from caffe2neon.caffe.caffe_pb2 import ConvolutionParameter, LayerParameter, PoolingParameter


class Window(NamedTuple):
    """Kernel, stride, padding and dilation, a value per spatial axis (rows first)."""

    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape

    @property
    def extent(self) -> Shape:
        """Pixels a window spans, dilation included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))


def convolution_window(param: ConvolutionParameter, axes: int) -> Window:
    """Caffe's rules for ``kernel_size``, ``kernel_h``/``kernel_w`` and their like (``base_conv_layer.cpp``)."""

    def per_axis(values: Sequence[int], height: str, width: str, what: str, default: int | None) -> Shape:
        if param.HasField(height) or param.HasField(width):
            require(axes == 2, f"{height} and {width} go with 2 spatial axes, not {axes}")
            require(not values, f"either {what} or {height} and {width}, not both")
            return (getattr(param, height), getattr(param, width))
        if len(values) == 1:
            return tuple(values) * axes
        if not values and default is not None:
            return (default,) * axes
        require(len(values) == axes, f"{what} must be given once, or once per spatial axis ({len(values)} times for {axes})")
        return tuple(values)

    dilation = tuple(param.dilation) * axes if len(param.dilation) == 1 else tuple(param.dilation) or (1,) * axes
    require(len(dilation) == axes, f"dilation must be given once, or once per spatial axis ({len(dilation)} times for {axes})")
    window = Window(
        kernel=per_axis(param.kernel_size, "kernel_h", "kernel_w", "kernel_size", None),
        stride=per_axis(param.stride, "stride_h", "stride_w", "stride", 1),
        pad=per_axis(param.pad, "pad_h", "pad_w", "pad", 0),
        dilation=dilation,
    )
    require(all(window.kernel), "the kernel must be at least 1 in each direction")
    require(all(window.stride), "the stride must be at least 1 in each direction")
    return window


@rule("Convolution", bottoms=at_least(1))
def _convolution(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    window, channels, params = _filters(layer, bottoms)
    # truncated, as C++ divides: a window up to a stride too large for its image still gives one output
    sizes = tuple(
        int((size + 2 * pad - extent) / stride) + 1
        for size, pad, extent, stride in zip(bottoms[0][2:], window.pad, window.extent, window.stride, strict=True)
    )
    return Shapes(((bottoms[0][0], channels, *sizes),) * len(bottoms), params)


@rule("Deconvolution", bottoms=at_least(1))
def _deconvolution(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    window, channels, params = _filters(layer, bottoms, transposed=True)
    sizes = tuple(
        stride * (size - 1) + extent - 2 * pad
        for size, pad, extent, stride in zip(bottoms[0][2:], window.pad, window.extent, window.stride, strict=True)
    )
    return Shapes(((bottoms[0][0], channels, *sizes),) * len(bottoms), params)


def _filters(layer: LayerParameter, bottoms: Sequence[Shape], *, transposed: bool = False) -> tuple[Window, int, tuple[Shape, ...]]:
    """The window, the number of output maps, and the shapes of weight and bias."""
    param, shape = layer.convolution_param, bottoms[0]
    require(len(set(bottoms)) == 1, f"all bottoms must have one shape: {', '.join(map(show, bottoms))}")
    require(axis(param.axis, shape) == 1, f"only channels on axis 1 are known, not axis {param.axis}")
    require(len(shape) > 2, f"has no spatial axes: its bottom is {show(shape)}")
    window = convolution_window(param, len(shape) - 2)
    channels, outputs, group = shape[1], param.num_output, param.group
    require(outputs > 0, "num_output must be given and positive")
    require(group > 0 and channels % group == 0, f"{channels} input channels do not divide into {group} groups")
    require(outputs % group == 0, f"{outputs} output maps do not divide into {group} groups")
    weight = (channels, outputs // group) if transposed else (outputs, channels // group)
    params: tuple[Shape, ...] = ((*weight, *window.kernel),)
    return window, outputs, (*params, (outputs,)) if param.bias_term else params


def pooling_window(param: PoolingParameter, shape: Shape) -> Window:
    """Caffe's rules for a pooling window over a blob of ``shape`` (``pooling_layer.cpp``)."""

    def pair(size: str, height: str, width: str) -> Shape:
        both = param.HasField(height) and param.HasField(width)
        either = param.HasField(height) or param.HasField(width)
        require(both or not either, f"{height} and {width} go together")
        require(not (both and param.HasField(size)), f"either {size} or {height} and {width}, not both")
        return (getattr(param, height), getattr(param, width)) if both else (getattr(param, size),) * 2

    if param.global_pooling:
        given = any(param.HasField(name) for name in ("kernel_size", "kernel_h", "kernel_w"))
        require(not given, "global pooling takes the whole map: no kernel may be set")
        kernel: Shape = shape[2:]
    else:
        kernel = pair("kernel_size", "kernel_h", "kernel_w")
        require(all(kernel), "kernel_size, or kernel_h and kernel_w, must be given and positive")
    window = Window(kernel, pair("stride", "stride_h", "stride_w"), pair("pad", "pad_h", "pad_w"), (1, 1))
    require(all(window.stride), "the stride must be at least 1 in each direction")
    if param.global_pooling:
        require(window.pad == (0, 0) and window.stride == (1, 1), "global pooling goes with pad 0 and stride 1")
    require(all(p < k for p, k in zip(window.pad, kernel, strict=True)), f"pad {window.pad} must be smaller than kernel {kernel}")
    return window


@rule("Pooling")
def _pooling(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    param, shape = layer.pooling_param, bottoms[0]
    require(len(shape) == 4, f"needs a blob of 4 axes, not {show(shape)}")
    window = pooling_window(param, shape)
    sizes = []
    for size, kernel, stride, pad in zip(shape[2:], window.kernel, window.stride, window.pad, strict=True):
        span = size + 2 * pad - kernel
        if span < 0 and param.round_mode == param.FLOOR:
            raise GraphError(f"the kernel {window.kernel} is larger than the padded map {shape[2:]}")
        out = span // stride + 1 if param.round_mode == param.FLOOR else -(-span // stride) + 1
        # Caffe clips both axes as soon as either is padded
        if any(window.pad) and (out - 1) * stride >= size + pad:
            out -= 1
        sizes.append(out)
    return Shapes(((*shape[:2], *sizes),) * len(layer.top))


@rule("Im2col")
def _im2col(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    shape = bottoms[0]
    require(len(shape) > 2, f"has no spatial axes: its bottom is {show(shape)}")
    window = convolution_window(layer.convolution_param, len(shape) - 2)
    channels = shape[1]
    sizes = []
    for i, size in enumerate(shape[2:]):
        channels *= window.kernel[i]
        sizes.append((size + 2 * window.pad[i] - window.extent[i]) // window.stride[i] + 1)
    return Shapes(((shape[0], channels, *sizes),))
