"""Convolution and Deconvolution (base_conv_layer.cpp, conv_layer.cpp, deconv_layer.cpp)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from caffe2neon.engines.caffe_embedded.registry import CLOBBERS, FINE, Layer, Tensor, layer
from caffe2neon.records import Array, Shape


@dataclass(frozen=True)
class _Geometry:
    """A convolution's window, an entry a spatial axis; ``axis`` is the channels'."""

    axis: int
    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape

    @property
    def extent(self) -> Shape:
        return tuple(dilation * (kernel - 1) + 1 for kernel, dilation in zip(self.kernel, self.dilation, strict=True))

    @property
    def copies(self) -> bool:
        """Whether Caffe reads through im2col's buffer, which it leaves out for a plain 1x1 window."""
        return any(kernel != 1 for kernel in self.kernel) or any(stride != 1 for stride in self.stride) or any(self.pad)


@layer("Convolution", bottoms=(1, None), tops=(1, None), pairs=True, in_place=FINE)
def convolution(layer: Layer) -> list[Tensor]:
    geometry = _geometry(layer)
    image = layer.bottoms[0].shape[geometry.axis + 1 :]
    sizes, ends = [], []
    for size, pad, extent, stride in zip(image, geometry.pad, geometry.extent, geometry.stride, strict=True):
        # C++ rounds to zero: a window a little too large for the image still gives one output, with zeros beyond the image
        out = int((size + 2 * pad - extent) / stride) + 1
        sizes.append(out)
        ends.append(max((out - 1) * stride + extent - size - pad, 0))
    return _translate(layer, geometry, "Conv", sizes, [*geometry.pad, *ends])


@layer("Deconvolution", bottoms=(1, None), tops=(1, None), pairs=True, in_place=FINE)
def deconvolution(layer: Layer) -> list[Tensor]:
    geometry = _geometry(layer)
    image = layer.bottoms[0].shape[geometry.axis + 1 :]
    sizes = [
        stride * (size - 1) + extent - 2 * pad
        for size, pad, extent, stride in zip(image, geometry.pad, geometry.extent, geometry.stride, strict=True)
    ]
    return _translate(layer, geometry, "ConvTranspose", sizes, [*geometry.pad, *geometry.pad])


def _translate(layer: Layer, geometry: _Geometry, operator: str, sizes: list[int], pads: list[int]) -> list[Tensor]:
    param = layer.param.convolution_param
    first = layer.bottoms[0]
    channels, outputs, group = first.shape[geometry.axis], param.num_output, param.group
    layer.require(outputs > 0, "num_output must be positive")
    layer.require(group > 0 and channels % group == 0, f"{channels} channels cannot be divided into {group} groups")
    layer.require(outputs % group == 0, f"num_output {outputs} cannot be divided into {group} groups")
    for bottom in layer.bottoms[1:]:
        layer.require(bottom.shape == first.shape, f"bottoms of different shapes: {first.shape} and {bottom.shape}")
    layer.require(all(size > 0 for size in sizes), f"a blob of shape {first.shape} is too small: the output would be {sizes}")
    top_shape = (*first.shape[: geometry.axis], outputs, *sizes)
    layer.require(
        not layer.in_place or (geometry.copies and top_shape == first.shape),
        f"{CLOBBERS} (only a window other than 1x1 that keeps the shape works in place)",
    )
    maps = (channels, outputs // group) if operator == "ConvTranspose" else (outputs, channels // group)
    shapes = [(*maps, *geometry.kernel), *([(outputs,)] if param.bias_term else [])]
    # ONNX wants a spatial axis even where Caffe needs none
    dummy = () if geometry.kernel else (1,)
    weight, *bias = layer.weights(*shapes)
    constants: list[Array] = [weight.reshape(*weight.shape, *dummy), *bias]
    names = [Tensor(layer.name(constant), constant.shape) for constant in constants]
    tops = []
    for bottom in layer.bottoms:
        # (..., C, spatial...) -> (N, C, spatial...)
        flat = layer.reshape(bottom, (bottom.count(0, geometry.axis), channels, *bottom.shape[geometry.axis + 1 :], *dummy))
        computed = layer.op(
            operator,
            flat,
            *names,
            shape=(flat.shape[0], outputs, *sizes, *dummy),
            kernel_shape=[*geometry.kernel, *dummy],
            strides=[*geometry.stride, *dummy],
            dilations=[*geometry.dilation, *dummy],
            pads=pads or [0, 0],
            group=group,
        )
        tops.append(layer.reshape(computed, top_shape))
    return tops


def _geometry(layer: Layer) -> _Geometry:
    param = layer.param.convolution_param
    axis = layer.axis(param.axis)
    axes = layer.bottoms[0].rank - axis - 1

    def sizes(name: str, values: Sequence[int], default: int | None) -> Shape:
        height, width = f"{name.removesuffix('_size')}_h", f"{name.removesuffix('_size')}_w"
        if name != "dilation" and (param.HasField(height) or param.HasField(width)):
            layer.require(axes == 2, f"{height} and {width} are for two spatial axes, here are {axes}")
            layer.require(not values, f"give either {name} or {height} and {width}, not both")
            return (getattr(param, height), getattr(param, width))
        allowed = {1, axes} if default is None else {0, 1, axes}
        layer.require(len(values) in allowed, f"{name} is given {len(values)} times for {axes} spatial axes")
        return tuple(values) if len(values) == axes else tuple([values[0] if values else default or 0] * axes)

    geometry = _Geometry(
        axis,
        kernel=sizes("kernel_size", param.kernel_size, None),
        stride=sizes("stride", param.stride, 1),
        pad=sizes("pad", param.pad, 0),
        dilation=sizes("dilation", param.dilation, 1),
    )
    layer.require(all(geometry.kernel), "kernel sizes must not be zero")
    layer.require(all(geometry.stride), "strides must not be zero")
    layer.require(all(geometry.dilation), "dilations must not be zero")
    return geometry
