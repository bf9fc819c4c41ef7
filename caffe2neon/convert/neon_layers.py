"""Constructors of neon layer records, with arguments that neon v1.4.0 accepts: it refuses any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from caffe2neon.records import Array, Deferred, Loss, NeonContainer, NeonLayer, Shape, float32

_LAYER = "neon.layers.layer."
_CONTAINER = "neon.layers.container."
_TRANSFORM = "neon.transforms.activation."

#: neon fills weights by this before the file's own replace them; Linear and Bias cannot be built without one.
_INIT = {"type": "neon.initializers.initializer.Constant", "config": {"val": 0.0}}


def convolution(name: str, weight: Deferred, *, stride: Shape = (1, 1), pad: Shape = (0, 0)) -> NeonLayer:
    """``weight`` is Caffe's dense (K, C, R, S); neon keeps (C·R·S, K)."""
    weight, pad = _within_reach(weight, pad)
    outputs, channels, rows, columns = weight.shape
    config = {
        "name": name,
        "fshape": {"R": rows, "S": columns, "K": outputs},
        "strides": {"str_h": stride[0], "str_w": stride[1]},
        "padding": {"pad_h": pad[0], "pad_w": pad[1]},
        "init": _INIT,
    }

    def make() -> Array:
        # (K, C, R, S) -> (C, R, S, K) -> (C·R·S, K)
        return np.ascontiguousarray(weight.make().reshape(outputs, -1).T)

    return NeonLayer(_LAYER + "Convolution", config, {"W": Deferred((channels * rows * columns, outputs), make)})


def _within_reach(weight: Deferred, pad: Shape) -> tuple[Deferred, Shape]:
    """Surround the window with zeros where it could lie in the padding by more than a pixel: neon's slices disagree there.

    A zero more on each side and a pixel more of padding leave what is computed as it is.
    """
    rows, columns = (max(0, p - size) for p, size in zip(pad, weight.shape[2:], strict=True))
    if not rows and not columns:
        return weight, pad
    shape = (*weight.shape[:2], weight.shape[2] + 2 * rows, weight.shape[3] + 2 * columns)

    def make() -> Array:
        return np.pad(weight.make(), ((0, 0), (0, 0), (rows, rows), (columns, columns)))

    return Deferred(shape, make), (pad[0] + rows, pad[1] + columns)


def linear(name: str, weight: Deferred) -> NeonLayer:
    """``weight`` is (nout, nin), the layout of Caffe and of neon."""
    return NeonLayer(_LAYER + "Linear", {"name": name, "nout": weight.shape[0], "init": _INIT}, {"W": weight})


def bias(name: str, weight: Deferred) -> NeonLayer:
    """``weight`` is (n,); neon keeps (n, 1)."""
    return NeonLayer(_LAYER + "Bias", {"name": name, "init": _INIT}, {"W": _column(weight)})


def pooling(name: str, op: str, kernel: Shape | None, *, stride: Shape = (1, 1), pad: Shape = (0, 0)) -> NeonLayer:
    """``op`` is max or avg; a kernel of None is the whole map."""
    config: dict[str, Any] = {"name": name, "op": op}
    if kernel is None:
        config["fshape"] = "all"
    else:
        config["fshape"] = {"R": kernel[0], "S": kernel[1]}
        config["strides"] = {"str_h": stride[0], "str_w": stride[1]}
        config["padding"] = {"pad_h": pad[0], "pad_w": pad[1]}
    return NeonLayer(_LAYER + "Pooling", config)


def lrn(name: str, depth: int, ascale: float, bpower: float) -> NeonLayer:
    """``(1 + ascale/depth · Σx²)^-bpower``. Floats always: neon on Python 2 divides an integer ``ascale`` as an integer."""
    return NeonLayer(_LAYER + "LRN", {"name": name, "depth": depth, "ascale": float(ascale), "bpower": float(bpower)})


def activation(name: str, transform: str, **config: Any) -> NeonLayer:
    """``transform`` is a class of ``neon.transforms.activation``."""
    return NeonLayer(_LAYER + "Activation", {"name": name, "transform": {"type": _TRANSFORM + transform, "config": config}})


def dropout(name: str, keep: float) -> NeonLayer:
    return NeonLayer(_LAYER + "Dropout", {"name": name, "keep": keep})


def skip_node(name: str) -> NeonLayer:
    """Copies its input into a buffer of its own."""
    return NeonLayer(_LAYER + "SkipNode", {"name": name})


def branch_node(name: str) -> NeonLayer:
    """Names are singletons of the process in neon: use one name per model and blob."""
    return NeonLayer(_LAYER + "BranchNode", {"name": name})


def sequential(layers: Sequence[NeonLayer | NeonContainer], name: str | None = None) -> NeonContainer:
    return NeonContainer(_CONTAINER + "Sequential", {"name": name} if name else {}, tuple(layers))


def merge(name: str, kind: str) -> NeonContainer:
    """``kind`` is depth (channels) or stack (flat); the arms come later."""
    return NeonContainer(_CONTAINER + "MergeBroadcast", {"name": name, "merge": kind}, ())


def merge_sum(name: str) -> NeonContainer:
    return NeonContainer(_CONTAINER + "MergeSum", {"name": name}, ())


def tree(branches: Sequence[NeonContainer], name: str, *, single_output: bool = False) -> NeonContainer:
    """The first branch is the trunk; the others follow in the order of their branch nodes.

    With ``single_output`` the others compute in training only.
    """
    return NeonContainer(_CONTAINER + ("SingleOutputTree" if single_output else "Tree"), {"name": name}, tuple(branches))


def cost(losses: Sequence[Loss]) -> dict[str, Any]:
    """neon's cost of these losses, in the order of the model's outputs.

    A weight scales the error at its head, as in Caffe (``scale``), and the cost that neon shows (``weights``).
    """
    costs = []
    for loss in losses:
        config = {} if loss.weight == 1 else {"scale": loss.weight}
        function = {"type": f"neon.transforms.cost.{loss.cost}", "config": config}
        costs.append({"type": _LAYER + "GeneralizedCost", "config": {"name": loss.layer, "costfunc": function}})
    if len(costs) == 1:
        return costs[0]
    return {"type": _CONTAINER + "Multicost", "config": {"costs": costs, "weights": [loss.weight for loss in losses]}}


def deconvolution(name: str, weight: Deferred, *, stride: Shape = (1, 1), pad: Shape = (0, 0)) -> NeonLayer:
    """``weight`` is Caffe's dense (C in, C out, R, S); neon keeps (C out·R·S, C in) and calls its output maps C."""
    layer = convolution(name, weight, stride=stride, pad=pad)
    fshape = layer.config["fshape"]
    config = {**layer.config, "fshape": {"R": fshape["R"], "S": fshape["S"], "C": weight.shape[1]}}
    return replace(layer, type=_LAYER + "Deconvolution", config=config)


def batch_norm(name: str, gmean: Deferred, gvar: Deferred, eps: float, gamma: Deferred, beta: Deferred) -> NeonLayer:
    """``gamma·(x - gmean)/sqrt(gvar + eps) + beta``; all blobs are (C,), neon keeps (C, 1)."""
    params = {"beta": _column(beta), "gamma": _column(gamma), "gmean": _column(gmean), "gvar": _column(gvar)}
    # without its optimizer states neon refuses to load a BatchNorm: KeyError 'states'
    return NeonLayer(_LAYER + "BatchNorm", {"name": name, "eps": eps}, params, {"states": [[], []]})


def affine(name: str, gamma: Deferred, beta: Deferred) -> NeonLayer:
    """``gamma·x + beta`` per channel, at inference: a BatchNorm of mean 0, variance 1 and eps 0."""
    return batch_norm(name, constant(gamma.shape, 0), constant(gamma.shape, 1), 0.0, gamma, beta)


def constant(shape: Shape, value: float) -> Deferred:
    return Deferred(shape, partial(np.full, shape, value, np.float32))


def _column(vector: Deferred) -> Deferred:
    return Deferred((vector.shape[0], 1), lambda: vector.make().reshape(-1, 1))


def selector(
    name: str, channels: Sequence[int], of: int, *, pad: Shape = (0, 0), before: Shape = (0, 0), after: Shape = (0, 0)
) -> NeonLayer:
    """A one-hot convolution: output map k is input map ``channels[k]``, of ``of`` maps.

    The map is padded with ``pad`` zeros on each side; then ``before`` rows and columns are taken off its start and ``after`` off
    its end: the window is that much larger, and its one stands at the tap ``before``.
    """
    shape = (len(channels), of, 1 + before[0] + after[0], 1 + before[1] + after[1])

    def make() -> Array:
        weight = np.zeros(shape, np.float32)
        weight[np.arange(len(channels)), list(channels), before[0], before[1]] = 1
        return weight

    return convolution(name, Deferred(shape, make), pad=pad)


def mixer(name: str, groups: Sequence[Sequence[int]], of: int) -> NeonLayer:
    """A 1×1 convolution of ones and zeros: output map k is the sum of the input maps ``groups[k]``, of ``of`` maps."""
    shape = (len(groups), of, 1, 1)

    def make() -> Array:
        weight = np.zeros(shape, np.float32)
        for k, group in enumerate(groups):
            weight[k, list(group)] = 1
        return weight

    return convolution(name, Deferred(shape, make))


def dense(weight: Deferred, group: int, dilation: Shape) -> Deferred:
    """A grouped and dilated (K, C/group, R, S) as the dense, undilated weights that compute the same, zeros filled in."""
    outputs, per_group, rows, columns = weight.shape
    shape = (outputs, per_group * group, (rows - 1) * dilation[0] + 1, (columns - 1) * dilation[1] + 1)
    if shape == weight.shape:
        return weight

    def make() -> Array:
        source, result = float32(weight.make()), np.zeros(shape, np.float32)
        step = outputs // group
        for g in range(group):
            maps, channels = slice(g * step, (g + 1) * step), slice(g * per_group, (g + 1) * per_group)
            result[maps, channels, :: dilation[0], :: dilation[1]] = source[maps]
        return result

    return Deferred(shape, make)
