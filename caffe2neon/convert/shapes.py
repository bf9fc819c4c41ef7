"""neon's own shape rules (``output_dim`` and the layers' ``configure``), in caffe mode: what the emitted layers will compute."""

from __future__ import annotations

from math import prod

from caffe2neon.records import NeonLayer, Shape


def pooled(size: int, kernel: int, stride: int, pad: int) -> int:
    """neon's pooled size in caffe mode: rounded up, and clipped where this axis is padded."""
    out = -(-(size + 2 * pad - kernel) // stride) + 1
    return out - 1 if pad > 0 and (out - 1) * stride >= size + pad else out


def out_shape(layer: NeonLayer, shape: Shape) -> Shape:
    """The output's neon shape, for a layer as :mod:`caffe2neon.convert.neon_layers` writes it."""
    config = layer.config
    if layer.kind == "Linear":
        return (config["nout"], 1)
    if layer.kind == "Pooling" and config["fshape"] == "all":
        return (shape[0], 1, 1)
    if layer.kind in ("Convolution", "Pooling"):
        fshape, strides, padding = config["fshape"], config["strides"], config["padding"]
        axes = (
            (shape[1], fshape["R"], strides["str_h"], padding["pad_h"]),
            (shape[2], fshape["S"], strides["str_w"], padding["pad_w"]),
        )
        if layer.kind == "Pooling":
            return (shape[0], *(pooled(*axis) for axis in axes))
        return (fshape["K"], *((size + 2 * pad - kernel) // stride + 1 for size, kernel, stride, pad in axes))
    return shape


def features(shape: Shape) -> int:
    return prod(shape)
