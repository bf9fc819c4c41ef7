"""Pooling and local response normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from caffe2neon.engines.neon_embedded.base import Buffer, Emission, Layer, NeonShape, neon_class
from caffe2neon.engines.neon_embedded.geometry import maps, options, pooling_axis

_WINDOW = {"str_h": None, "str_w": None, "pad_h": 0, "pad_w": 0, "R": None, "S": 1}


@neon_class("Pooling")
class Pooling(Layer):
    """max (padding never wins), avg (over the pixels inside the map), l2. ``fshape='all'`` is the whole map."""

    takes_beta = True
    has_delta = True

    def output_shape(self) -> NeonShape:
        self._op = self.config.get("op", "max")
        if self._op not in ("max", "avg", "l2"):
            raise self.refuse(f"op is {self._op!r}: neon would leave the output as it was", remedy="max, avg or l2")
        c, h, w = maps(self)
        window = options(self, self._fshape(), _WINDOW)
        r, s = (h, w) if window["R"] is None else (window["R"], window["S"])
        self._rows = pooling_axis(self, h, r, window["str_h"] or r, window["pad_h"])
        self._columns = pooling_axis(self, w, s, window["str_w"] or s, window["pad_w"])
        return (c, self._rows.count, self._columns.count)

    def _fshape(self) -> Mapping[str, int | None]:
        fshape = self.config["fshape"]
        if isinstance(fshape, int):
            return {"R": fshape, "S": fshape}
        if fshape == "all":
            return {"R": None, "S": 1}
        if isinstance(fshape, tuple) and len(fshape) == 2:
            return {"R": fshape[0], "S": fshape[1]}
        if not isinstance(fshape, Mapping) or "R" not in fshape:
            raise self.refuse(f"TypeError: fshape is {fshape!r}", remedy="an integer, a tuple (R, S), a dict of R and S, or 'all'")
        return fshape

    def compute(self, emission: Emission, source: Buffer) -> str:
        if not self.deltas_set:
            raise self.refuse(
                "AttributeError: 'Pooling' object has no attribute 'argmax': neon makes it only in the main container and in the"
                " arms of a merge there",
                remedy="take the Pooling out of the inner Sequential",
            )
        graph, rows, columns = emission.graph, self._rows, self._columns
        x = emission.reshape(source.value, source.shape, maps(self))
        whole = all((axis.count, axis.window, axis.pad) == (1, axis.extent, 0) for axis in (rows, columns))
        if self._op == "avg" and whole:
            return graph.add("GlobalAveragePool", x)
        # Explicit padding behind the map makes ceil and Caffe's clip exact, whatever ONNX thinks of ceil_mode.
        shape: dict[str, Any] = {
            "kernel_shape": [rows.window, columns.window],
            "strides": [rows.stride, columns.stride],
            "pads": [rows.pad, columns.pad, rows.tail, columns.tail],
        }
        if self._op == "max":
            return graph.add("MaxPool", x, **shape)
        if self._op == "avg":
            return graph.add("AveragePool", x, count_include_pad=0, **shape)
        mean = graph.add("AveragePool", graph.add("Mul", x, x), count_include_pad=1, **shape)
        return graph.add("Sqrt", graph.add("Mul", mean, graph.constant(float(rows.window * columns.window))))


@neon_class("LRN")
class LRN(Layer):
    """``x · (1 + ascale/depth · Σx²)^-bpower`` over ``depth`` maps; in Python 2 an integer ``ascale`` is divided as an integer."""

    has_delta = True

    def output_shape(self) -> NeonShape:
        self._depth = self.config["depth"]
        maps(self)
        if not isinstance(self._depth, int) or self._depth < 1 or self._depth % 2 == 0:
            raise self.refuse(f"AssertionError: depth is {self._depth!r}; only odd windows", remedy="an odd depth")
        ascale = self.number(self.config, "ascale", 1.0)
        self._alpha = float(ascale // self._depth if isinstance(ascale, int) else ascale / self._depth)
        self._power = float(self.number(self.config, "bpower", 1.0))
        return self.in_shape

    def compute(self, emission: Emission, source: Buffer) -> str:
        graph, shape = emission.graph, maps(self)
        x = emission.reshape(source.value, source.shape, shape)
        if self._alpha > 0 and self._power > 0:
            y = graph.add("LRN", x, size=self._depth, alpha=self._alpha * self._depth, beta=self._power, bias=1.0)
        else:
            y = self._general(emission, x)
        return emission.reshape(y, shape, self.in_shape)

    def _general(self, emission: Emission, x: str) -> str:
        """For signs that ONNX Runtime's operator refuses: the sum over maps as an average over the depth of a volume."""
        graph = emission.graph
        volume = graph.add("Unsqueeze", graph.add("Mul", x, x), graph.constant([1]))
        half = self._depth // 2
        mean = graph.add(
            "AveragePool", volume, count_include_pad=1, kernel_shape=[self._depth, 1, 1], strides=[1, 1, 1], pads=[half, 0, 0] * 2
        )
        scaled = graph.add("Mul", graph.add("Squeeze", mean, graph.constant([1])), graph.constant(self._alpha * self._depth))
        base = graph.add("Add", scaled, graph.constant(1.0))
        return graph.add("Mul", x, graph.add("Pow", base, graph.constant(-self._power)))
