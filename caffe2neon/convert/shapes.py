"""neon's own shape rules (``output_dim`` and the layers' ``configure``), in caffe mode: what the emitted layers will compute."""

from __future__ import annotations

from math import prod

from caffe2neon.records import NeonContainer, NeonLayer, Shape


def pooled(size: int, kernel: int, stride: int, pad: int) -> int:
    """neon's pooled size in caffe mode: rounded up, and clipped where this axis is padded."""
    out = -(-(size + 2 * pad - kernel) // stride) + 1
    return out - 1 if pad > 0 and (out - 1) * stride >= size + pad else out


def out_shape(item: NeonLayer | NeonContainer, shape: Shape) -> Shape:
    """The output's neon shape, for a layer or container as :mod:`caffe2neon.convert.neon_layers` writes it."""
    if isinstance(item, NeonContainer):
        return _container_shape(item, shape)
    config = item.config
    if item.kind == "Linear":
        return (config["nout"], 1)
    if item.kind == "Pooling" and config["fshape"] == "all":
        return (shape[0], 1, 1)
    if item.kind not in ("Convolution", "Deconvolution", "Pooling"):
        return shape
    fshape, strides, padding = config["fshape"], config["strides"], config["padding"]
    axes = (
        (shape[1], fshape["R"], strides["str_h"], padding["pad_h"]),
        (shape[2], fshape["S"], strides["str_w"], padding["pad_w"]),
    )
    if item.kind == "Pooling":
        return (shape[0], *(pooled(*axis) for axis in axes))
    if item.kind == "Deconvolution":
        return (fshape["C"], *((size - 1) * stride - 2 * pad + kernel for size, kernel, stride, pad in axes))
    return (fshape["K"], *((size + 2 * pad - kernel) // stride + 1 for size, kernel, stride, pad in axes))


def _container_shape(container: NeonContainer, shape: Shape) -> Shape:
    if container.kind == "Sequential":
        for item in container.layers:
            shape = out_shape(item, shape)
        return shape
    shapes = [out_shape(arm, shape) for arm in container.layers]
    if container.kind == "MergeSum":
        return shapes[0]
    if container.config["merge"] == "stack":
        return (sum(map(features, shapes)),)
    return (sum(s[0] for s in shapes), *shapes[0][1:])


def features(shape: Shape) -> int:
    return prod(shape)
