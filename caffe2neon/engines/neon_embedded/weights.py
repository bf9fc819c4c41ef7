"""Layers with parameters: Convolution, Deconvolution, Linear, Bias, BatchNorm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from caffe2neon.engines.neon_embedded.base import Buffer, Emission, NeonShape, ParameterLayer, axes, neon_class, size
from caffe2neon.engines.neon_embedded.geometry import Axis, convolution_axis, maps, options, vector_length
from caffe2neon.records import Array, NeonContainer, NeonLayer, float32

_WINDOW = {"str_h": 1, "str_w": 1, "pad_h": 0, "pad_w": 0, "R": 1, "S": 1}


@neon_class("Convolution")
class Convolution(ParameterLayer):
    """``W`` is (C·R·S, K); only its size is checked, as neon reshapes whatever it gets."""

    takes_beta = True
    has_delta = True
    default_parallelism = "Data"
    operator: ClassVar[str] = "Conv"  # ONNX's

    def __init__(self, node: NeonLayer | NeonContainer, compat: str) -> None:
        super().__init__(node, compat)
        self.parallelism = str(self.config.get("parallelism", self.parallelism))
        self.axes: tuple[Axis, Axis] | None = None

    def output_shape(self) -> NeonShape:
        c, h, w = maps(self)
        window = options(self, self._fshape(("R", "S", "K")), {**_WINDOW, "K": None})
        if window["K"] is None:
            raise self.refuse("TypeError: fshape has no 'K', the number of output maps")
        self.axes = (
            convolution_axis(self, h, window["R"], window["str_h"], window["pad_h"]),
            convolution_axis(self, w, window["S"], window["str_w"], window["pad_w"]),
        )
        self._dims = (c, window["R"], window["S"], window["K"])
        return (window["K"], self.axes[0].count, self.axes[1].count)

    def _fshape(self, names: tuple[str, ...]) -> Mapping[str, Any]:
        fshape = self.config["fshape"]
        if isinstance(fshape, (tuple, list)):
            if len(fshape) != 3:
                raise self.unsupported(f"a window of shape {fshape}")
            return dict(zip(names, fshape, strict=True))
        if not isinstance(fshape, Mapping):
            raise self.refuse(f"TypeError: fshape is {fshape!r}", remedy="a tuple (R, S, K) or a dict")
        return fshape

    def _weights(self) -> Array:
        """As (C, R, S, K)."""
        weights = float32(self.param("W"))
        if weights.size != np.prod(self._dims):
            raise self.refuse(f"AssertionError: W is {weights.shape} where (C·R·S, K) = {self._expected()} is needed")
        return weights.reshape(self._dims)

    def _expected(self) -> tuple[int, int]:
        c, r, s, k = self._dims
        return c * r * s, k

    def compute(self, emission: Emission, source: Buffer) -> str:
        assert self.axes is not None
        x = emission.reshape(source.value, source.shape, maps(self))
        # (C, R, S, K) -> (K, C, R, S), of a Deconvolution, too: ONNX has a transposed convolution's input maps first
        weights = emission.graph.constant(self._weights().transpose(3, 0, 1, 2))
        rows, columns = self.axes
        return emission.graph.add(
            self.operator,
            x,
            weights,
            kernel_shape=[rows.window, columns.window],
            strides=[rows.stride, columns.stride],
            pads=[rows.pad, columns.pad, rows.pad, columns.pad],
        )


@neon_class("Deconvolution")
class Deconvolution(Convolution):
    """The gradient of a convolution; ``W`` is (C·R·S, K) with C output maps and K input maps."""

    takes_beta = False
    default_parallelism = "Unknown"
    operator = "ConvTranspose"

    def output_shape(self) -> NeonShape:
        k, p, q = maps(self)
        if isinstance(self.config["fshape"], list):
            raise self.refuse("TypeError: fshape is a list", remedy="a tuple (R, S, C) or a dict")
        window = options(self, self._fshape(("R", "S", "C")), {**_WINDOW, "C": None}, "KPQN")
        if window["C"] is None:
            raise self.refuse("TypeError: fshape has no 'C', the number of output maps")
        self.axes = (
            self._axis(p, window["R"], window["str_h"], window["pad_h"]),
            self._axis(q, window["S"], window["str_w"], window["pad_w"]),
        )
        self._dims = (window["C"], window["R"], window["S"], k)
        return (window["C"], self.axes[0].extent, self.axes[1].extent)

    def _axis(self, count: int, window: int, stride: int, pad: int) -> Axis:
        """Here ``extent`` is the output's, ``count`` the input's."""
        extent = (count - 1) * stride - 2 * pad + window
        if extent < 1:
            raise self.refuse(f"a window of {window} with padding {pad} leaves nothing of a map of {count}")
        return Axis(extent, window, stride, pad, count)


@neon_class("Linear")
class Linear(ParameterLayer):
    """``W`` is (nout, nin); the input is flattened (C, H, W)."""

    takes_beta = True
    has_delta = True
    default_parallelism = "Disabled"

    def output_shape(self) -> NeonShape:
        if not isinstance(self.config["nout"], int):
            raise self.unsupported(f"nout = {self.config['nout']!r}")
        self._nin = vector_length(self, self.in_shape)
        return (self.config["nout"], 1)

    def compute(self, emission: Emission, source: Buffer) -> str:
        weights = float32(self.param("W"))
        expected = (self.config["nout"], self._nin)
        if weights.shape != expected and not (weights.ndim == 1 and (*weights.shape, 1) == expected):
            raise self.refuse(f"AssertionError: W is {weights.shape} where (nout, nin) = {expected} is needed")
        x = emission.reshape(source.value, source.shape, size(source.shape))
        return emission.graph.add("Gemm", x, emission.graph.constant(weights.reshape(expected)), transB=1)


@neon_class("Bias")
class Bias(ParameterLayer):
    """``W`` is (n, 1), or n values, one a map."""

    owns_output = False

    def output_shape(self) -> NeonShape:
        if isinstance(self.in_shape, int):
            raise self.refuse("TypeError: a Bias cannot follow a flat vector, such as a merge by stack")
        return self.in_shape

    def compute(self, emission: Emission, source: Buffer) -> str:
        bias = float32(self.param("W"))
        features = axes(self.in_shape)
        if bias.shape not in ((features[0],), (features[0], 1), (1,), (1, 1)):
            raise self.refuse(f"ValueError: W is {bias.shape} where {(features[0], 1)} is needed")
        shaped = bias.reshape(-1, *(1 for _ in features[1:]))
        return emission.graph.add("Add", source.value, emission.graph.constant(shaped))


@neon_class("BatchNorm")
class BatchNorm(ParameterLayer):
    """At inference by ``gmean`` and ``gvar``; in training mode, as in a side branch of a Tree, by this batch's statistics."""

    takes_beta = True
    has_delta = True
    _NAMES = ("beta", "gamma", "gmean", "gvar")

    def __init__(self, node: NeonLayer | NeonContainer, compat: str) -> None:
        super().__init__(node, compat)
        if "states" not in node.extra:
            raise self.refuse("KeyError: 'states'", remedy="a BatchNorm's description carries 'states': [[], []]")
        if unknown := sorted(self.params.keys() - set(self._NAMES)):
            raise self.refuse(f"AttributeError: it has no parameter {unknown[0]!r}")

    def compute(self, emission: Emission, source: Buffer) -> str:
        beta, gamma, mean, variance = (self._vector(name) for name in self._NAMES)
        graph, eps = emission.graph, self.number(self.config, "eps", 1e-3)
        if emission.inference:
            inputs = [graph.constant(vector) for vector in (gamma, beta, mean, variance)]
            return graph.add("BatchNormalization", source.value, *inputs, epsilon=eps)
        rest = range(2, 1 + len(axes(self.in_shape)))
        batch = graph.add("ReduceMean", source.value, axes=[0, *rest])
        centred = graph.add("Sub", source.value, batch)
        spread = graph.add("ReduceMean", graph.add("Mul", centred, centred), axes=[0, *rest])
        deviation = graph.add("Sqrt", graph.add("Add", spread, graph.constant(eps)))
        shape = (-1, *(1 for _ in rest))
        scaled = graph.add("Mul", graph.add("Div", centred, deviation), graph.constant(gamma.reshape(shape)))
        return graph.add("Add", scaled, graph.constant(beta.reshape(shape)))

    def accumulate(self, emission: Emission, total: str, value: str) -> str:
        # compound_fprop_bn ignores its accumbeta: in training mode the sum so far is overwritten
        return super().accumulate(emission, total, value) if emission.inference else value

    def _vector(self, name: str) -> Array:
        value, count = float32(self.param(name)), axes(self.in_shape)[0]
        if value.size != count or value.shape not in ((count,), (count, 1)):
            raise self.refuse(f"{name} is {value.shape} where {(count, 1)} is needed")
        return value.reshape(count)
