"""Windows over a map as neon lays them: sizes by its formulas, and where its slices break."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from caffe2neon.engines.neon_embedded.base import Layer, NeonShape

_PLAIN = {"T": 1, "D": 1, "J": 1, "str_d": 1, "str_c": 1, "pad_d": 0, "pad_c": 0}


@dataclass(frozen=True)
class Axis:
    """One spatial axis: ``extent`` of the input, ``window``, ``stride``, ``pad`` on either side, ``count`` of windows."""

    extent: int
    window: int
    stride: int
    pad: int
    count: int

    @property
    def tail(self) -> int:
        """Padding needed behind the map so that the last window fits."""
        return max(0, (self.count - 1) * self.stride + self.window - self.extent - self.pad)


def maps(layer: Layer) -> tuple[int, int, int]:
    """The input as (C, H, W); a vector has one pixel."""
    match layer.in_shape:
        case (c, h, w):
            return c, h, w
        case (c,) | (c, 1):
            return c, 1, 1
        case int():
            raise layer.refuse("AssertionError: its input is a flat vector, not a map")
        case _:
            raise layer.unsupported(f"an input of shape {layer.in_shape}")


def options(layer: Layer, fshape: Mapping[str, Any], defaults: Mapping[str, Any], ignored: str = "CHWN") -> dict[str, Any]:
    """neon's ``convparams``: the defaults, updated by fshape, strides and padding (an integer means both directions).

    ``ignored`` are the keys that neon overwrites by the input's shape.

    Raises:
        EngineError: a key or value that neon's backend does not take, or a third dimension.
    """
    merged = {**defaults, **fshape}
    for key, names in (("strides", ("str_h", "str_w")), ("padding", ("pad_h", "pad_w"))):
        value = layer.config.get(key, {})
        part = dict.fromkeys(names, value) if isinstance(value, int) else value
        if not isinstance(part, Mapping):
            raise layer.refuse(f"{key!r} is a {type(value).__name__}", remedy=f"an integer, or a dict with {' and '.join(names)}")
        merged.update(part)
    for key, value in merged.items():
        if key in _PLAIN:
            if value not in (None, _PLAIN[key]):
                raise layer.unsupported(f"windows over a third dimension ({key} = {value!r})")
        elif key in defaults:
            _check(layer, key, value, optional=defaults[key] is None)
        elif key not in ignored:
            raise layer.refuse(f"TypeError: the backend takes no {key!r}")
    return merged


def _check(layer: Layer, key: str, value: Any, *, optional: bool) -> None:
    least = 0 if key.startswith("pad") else 1
    if (value is None and optional) or (isinstance(value, int) and value >= least):
        return
    raise layer.refuse(f"{key} is {value!r}", remedy=f"an integer of {least} or more")


def convolution_axis(layer: Layer, extent: int, window: int, stride: int, pad: int) -> Axis:
    """As ``ConvLayer``: floor; a window that lies outside by more than a pixel makes its slices disagree."""
    count = (extent - window + 2 * pad) // stride + 1
    if count < 1:
        raise layer.refuse(f"a window of {window} does not fit a map of {extent} with padding {pad}")
    for index in range(count):
        start = index * stride - pad
        end = min(start + window, extent)
        taken = range(window)[slice(max(0, -start), end - start)]
        seen = range(extent)[slice(max(0, start), end)]
        if len(taken) != len(seen):
            raise layer.refuse(f"window {index} lies wholly in the padding, and neon's slices disagree there")
    return Axis(extent, window, stride, pad, count)


def pooling_axis(layer: Layer, extent: int, window: int, stride: int, pad: int) -> Axis:
    """As ``Backend.output_dim(pooling=True)``: with compat_mode caffe ceil, clipped where this axis is padded; else floor."""
    if pad >= window:
        raise layer.refuse(f"ValueError: padding {pad} is incompatible with a window of {window}")
    room = extent - window + 2 * pad
    if layer.caffe:
        count = ceil(room / stride) + 1
        if pad > 0 and (count - 1) * stride >= extent + pad:
            count -= 1
    else:
        count = room // stride + 1
    if count < 1:
        raise layer.refuse(f"a window of {window} does not fit a map of {extent} with padding {pad}")
    if (count - 1) * stride - pad >= extent:
        raise layer.refuse("UnboundLocalError: the last window lies wholly outside the map")
    return Axis(extent, window, stride, pad, count)


def vector_length(layer: Layer, shape: NeonShape) -> int:
    """As ``interpret_in_shape``: everything in one vector; a shape of two axes is a sequence."""
    match shape:
        case int():
            return shape
        case (n, steps):
            if steps != 1:
                raise layer.unsupported(f"sequences, and neon takes an input of shape {shape} for one")
            return n
        case _:
            total = 1
            for n in shape:
                total *= n
            return total
