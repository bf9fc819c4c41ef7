"""Layers that apply a formula to each number: Power, Exp, Log, AbsVal, Threshold, Clip."""

from __future__ import annotations

import numpy as np

from caffe2neon.engines.caffe_embedded.registry import FINE, FORBIDDEN, Layer, Tensor, layer


@layer("Power", in_place=FINE)
def power(layer: Layer) -> list[Tensor]:
    param = layer.param.power_param
    bottom = layer.bottoms[0]
    if param.power * param.scale == 0:  # Caffe then leaves the input out
        value = np.float32(1) if param.power == 0 else np.float32(param.shift) ** np.float32(param.power)
        return [layer.op("Identity", np.full(bottom.shape, value, np.float32), shape=bottom.shape)]
    top = _affine(layer, bottom, param.scale, param.shift)
    return [top if param.power == 1 else layer.op("Pow", top, param.power)]


@layer("Exp", in_place=FINE)
def exp(layer: Layer) -> list[Tensor]:
    param = layer.param.exp_param
    inner = _log_base(layer, param.base) * np.float32(param.scale)
    natural = param.base == -1
    outer = np.exp(np.float32(param.shift)) if natural else np.float32(param.base) ** np.float32(param.shift)
    top = layer.op("Exp", _affine(layer, layer.bottoms[0], float(inner), 0))
    return [_affine(layer, top, float(outer), 0)]


@layer("Log", in_place=FINE)
def log(layer: Layer) -> list[Tensor]:
    param = layer.param.log_param
    base = _log_base(layer, param.base)
    layer.require(base != 0, "base must not be 1: its logarithm is 0")
    top = layer.op("Log", _affine(layer, layer.bottoms[0], param.scale, param.shift))
    return [_affine(layer, top, float(np.float32(1) / base), 0)]


@layer("AbsVal", in_place=FORBIDDEN)
def absval(layer: Layer) -> list[Tensor]:
    return [layer.op("Abs", *layer.bottoms)]


@layer("Threshold", in_place=FINE)
def threshold(layer: Layer) -> list[Tensor]:
    return [layer.op("Cast", layer.op("Greater", *layer.bottoms, layer.param.threshold_param.threshold), to=1)]


@layer("Clip", in_place=FINE)
def clip(layer: Layer) -> list[Tensor]:
    param = layer.param.clip_param
    return [layer.op("Max", layer.op("Min", *layer.bottoms, param.max), param.min)]


def _affine(layer: Layer, tensor: Tensor, scale: float, shift: float) -> Tensor:
    """``tensor * scale + shift``, what changes nothing left out."""
    if scale != 1:
        tensor = layer.op("Mul", tensor, scale)
    return tensor if shift == 0 else layer.op("Add", tensor, shift)


def _log_base(layer: Layer, base: float) -> np.float32:
    """The logarithm of a base, where -1 stands for e."""
    layer.require(base == -1 or base > 0, f"base must be positive, not {base:g}")
    return np.float32(1) if base == -1 else np.log(np.float32(base))
