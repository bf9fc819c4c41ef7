"""Pooling (pooling_layer.cpp)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caffe2neon.caffe.caffe_pb2 import PoolingParameter
from caffe2neon.engines.caffe_embedded.registry import Layer, Tensor, layer
from caffe2neon.errors import EngineError
from caffe2neon.records import Array

LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class _Axis:
    """The windows along one axis: ``out`` of them."""

    size: int
    kernel: int
    stride: int
    pad: int
    out: int

    @property
    def end(self) -> int:
        """How far the last window reaches beyond the image."""
        return max((self.out - 1) * self.stride + self.kernel - self.size - self.pad, 0)

    @property
    def empty(self) -> bool:
        """Whether the last window lies wholly outside the image."""
        return (self.out - 1) * self.stride - self.pad >= self.size

    @property
    def lengths(self) -> Array:
        """What AVE counts: padding too, as far as it goes."""
        starts = np.arange(self.out) * self.stride - self.pad
        return np.minimum(starts + self.kernel, self.size + self.pad) - starts


@layer("Pooling", tops=(1, 2))
def pooling(layer: Layer) -> list[Tensor]:
    param = layer.param.pooling_param
    layer.require(layer.tops == 1 or param.pool == PoolingParameter.MAX, "only MAX pooling has a second top")
    layer.require(param.pool != PoolingParameter.STOCHASTIC, "Caffe does not implement stochastic pooling on the CPU")
    axes = _axes(layer)
    if param.pool == PoolingParameter.AVE:
        return [_average(layer, axes)]
    return _maximum(layer, axes)


def _maximum(layer: Layer, axes: tuple[_Axis, _Axis]) -> list[Tensor]:
    bottom, attributes = _window(layer, layer.bottoms[0], axes, LOWEST)
    shape = (*bottom.shape[:2], axes[0].out, axes[1].out)
    if layer.tops == 1:
        return [layer.op("MaxPool", bottom, shape=shape, **attributes)]
    if any(axis.empty for axis in axes):
        raise EngineError("the mask of a window wholly outside the image is not computed here")
    top, indices = layer.graph.add_many("MaxPool", bottom.name, outputs=2, **attributes)
    # ONNX counts through the whole blob, Caffe through one plane
    plane = layer.op("Mod", Tensor(indices, shape), np.array(bottom.count(2), np.int64))
    return [Tensor(top, shape), layer.op("Cast", plane, to=1)]


def _average(layer: Layer, axes: tuple[_Axis, _Axis]) -> Tensor:
    bottom, attributes = _window(layer, layer.bottoms[0], axes, 0.0)
    shape = (*bottom.shape[:2], axes[0].out, axes[1].out)
    average = layer.op("AveragePool", bottom, shape=shape, count_include_pad=1, **attributes)
    area = axes[0].kernel * axes[1].kernel
    divisors = np.outer(axes[0].lengths, axes[1].lengths)
    if np.all(divisors == area):
        return average
    with np.errstate(divide="ignore"):  # a window wholly outside: 0 * inf is Caffe's 0 / 0
        return layer.op("Mul", average, (area / divisors).astype(np.float32))


def _window(layer: Layer, bottom: Tensor, axes: tuple[_Axis, _Axis], fill: float) -> tuple[Tensor, dict[str, list[int]]]:
    """The attributes that give Caffe's windows, and the bottom, padded here where ONNX Runtime refuses so much padding."""
    pads = [axis.pad for axis in axes] + [axis.end for axis in axes]
    if any(axis.empty for axis in axes):
        amounts = np.array([0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64)
        height, width = (axis.size + axis.pad + axis.end for axis in axes)
        bottom = layer.op("Pad", bottom, amounts, fill, shape=(*bottom.shape[:2], height, width))
        pads = [0, 0, 0, 0]
    return bottom, {"kernel_shape": [axis.kernel for axis in axes], "strides": [axis.stride for axis in axes], "pads": pads}


def _axes(layer: Layer) -> tuple[_Axis, _Axis]:
    param = layer.param.pooling_param
    shape = layer.bottoms[0].shape
    layer.require(len(shape) == 4, f"pooling takes blobs with 4 axes, not {shape}")
    has = param.HasField
    both = has("kernel_h") and has("kernel_w")
    if param.global_pooling:
        given = has("kernel_size") or has("kernel_h") or has("kernel_w")
        layer.require(not given, "with global_pooling no kernel size may be given")
        kernels = (shape[2], shape[3])
    else:
        layer.require(has("kernel_size") != both, "the kernel is kernel_size, or kernel_h and kernel_w; not both")
        kernels = (param.kernel_size, param.kernel_size) if has("kernel_size") else (param.kernel_h, param.kernel_w)
    one_pad = not (has("pad_h") or has("pad_w"))
    two_pads = not has("pad") and has("pad_h") and has("pad_w")
    layer.require(one_pad or two_pads, "the padding is pad, or pad_h and pad_w; not both")
    one_stride = not (has("stride_h") or has("stride_w"))
    two_strides = not has("stride") and has("stride_h") and has("stride_w")
    layer.require(one_stride or two_strides, "the stride is stride, or stride_h and stride_w; not both")
    pads = (param.pad, param.pad) if one_pad else (param.pad_h, param.pad_w)
    strides = (param.stride, param.stride) if one_stride else (param.stride_h, param.stride_w)
    layer.require(all(kernels) and all(strides), "kernel and stride must not be zero")
    if param.global_pooling:
        layer.require(pads == (0, 0) and strides == (1, 1), "with global_pooling pad must be 0 and stride 1")
    if any(pads):
        layer.require(pads[0] < kernels[0] and pads[1] < kernels[1], f"pad {pads} must be smaller than the kernel {kernels}")
    up = param.round_mode == PoolingParameter.CEIL
    height, width = (
        _Axis(size, kernel, stride, pad, _windows(size, kernel, stride, pad, up, clip=any(pads)))
        for size, kernel, stride, pad in zip(shape[2:], kernels, strides, pads, strict=True)
    )
    layer.require(height.out > 0 and width.out > 0, f"a blob of shape {shape} is too small for a kernel of {kernels}")
    return height, width


def _windows(size: int, kernel: int, stride: int, pad: int, up: bool, *, clip: bool) -> int:
    room = size + 2 * pad - kernel
    out = (-(-room // stride) if up else room // stride) + 1
    # with padding anywhere, the last window must start inside the image or the padding before it
    return out - 1 if clip and (out - 1) * stride >= size + pad else out
