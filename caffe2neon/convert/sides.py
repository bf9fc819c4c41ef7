"""Side branches of a Tree, which neon runs in training mode even at inference, made to compute the same all the same.

``Tree.fprop`` forgets the inference flag for all branches but the first: there a BatchNorm normalizes by the statistics of the
batch, and Dropout is live, in nested containers too. So a BatchNorm becomes the convolution (or matrix) with its factors on the
diagonal, and a Bias on each side of it; Dropout goes. A training net keeps both, in a SingleOutputTree, whose sides train only.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from caffe2neon.convert.neon_layers import bias, convolution, linear, skip_node
from caffe2neon.convert.registry import Item
from caffe2neon.convert.shapes import out_shape
from caffe2neon.convert.structure import finish
from caffe2neon.records import Array, Deferred, NeonContainer, NeonLayer, Shape, materialize


def frozen_sides(root: NeonContainer, shape: Shape, notes: list[str]) -> NeonContainer:
    """``root``, where it is a Tree, with sides that do not mind training mode; ``shape`` is the input's."""
    if root.kind != "Tree":
        return root
    passed: dict[str, Shape] = {}
    branches: list[NeonContainer] = []
    for branch in root.layers:
        assert isinstance(branch, NeonContainer)
        current = passed[branch.layers[0].name] if branches else shape
        for item in branch.layers:
            if item.kind == "BranchNode":
                passed[item.name] = current
            current = out_shape(item, current)
        start = passed[branch.layers[0].name] if branches else shape
        branches.append(replace(branch, layers=tuple(_frozen(branch.layers, start, notes))) if branches else branch)
    return replace(root, layers=tuple(branches))


def _frozen(items: tuple[Item, ...], shape: Shape, notes: list[str]) -> list[Item]:
    result: list[Item] = []
    for item in items:
        if isinstance(item, NeonContainer):
            result.append(_frozen_container(item, shape, notes))
        elif item.kind == "BatchNorm":
            notes.append(f"{item.name}: in a side branch, where neon's BatchNorm only trains: by a diagonal matrix of weights")
            result += _diagonal(item, shape)
        elif item.kind != "Dropout":
            result.append(item)
        shape = out_shape(item, shape)
    return result


def _frozen_container(container: NeonContainer, shape: Shape, notes: list[str]) -> NeonContainer:
    arms = []
    for index, arm in enumerate(container.layers):
        assert isinstance(arm, NeonContainer)
        items = _frozen(arm.layers, shape, notes)
        arms.append(replace(arm, layers=tuple(finish(items, arm.name, adds=index > 0 and container.kind == "MergeSum"))))
    return replace(container, layers=tuple(arms))


def _diagonal(layer: NeonLayer, shape: Shape) -> list[NeonLayer]:
    """``gamma / √(gvar + eps) · (x - gmean) + beta``; the mean goes off first, and of a copy: what is left may be small."""
    channels, eps = shape[0], float(layer.config["eps"])

    def values(name: str) -> Array:
        return np.asarray(materialize(layer.params[name]), np.float64).reshape(-1)

    def weight() -> Array:
        # (C,) -> (C, C), or (C, C, 1, 1)
        return np.diag(values("gamma") / np.sqrt(values("gvar") + eps)).astype(np.float32).reshape(wanted)

    def vector(name: str, sign: int) -> Deferred:
        return Deferred((channels,), lambda: (sign * values(name)).astype(np.float32))

    maps = len(shape) == 3
    wanted = (channels, channels, 1, 1) if maps else (channels, channels)
    write = convolution if maps else linear
    # a Bias cannot follow flat input or a stack, whose shape is a bare number in neon, but it can follow a Linear
    copy = Deferred(wanted, lambda: np.eye(channels, dtype=np.float32))
    return [
        skip_node(f"{layer.name}_skip") if maps else linear(f"{layer.name}_copy", copy),
        bias(f"{layer.name}_mean", vector("gmean", -1)),
        write(f"{layer.name}_factor", Deferred(wanted, weight)),
        bias(layer.name, vector("beta", 1)),
    ]
