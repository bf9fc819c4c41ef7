"""Small hand-made neon models for the tests of this room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from caffe2neon.records import META, Array, NeonContainer, NeonLayer, NeonModel

Item = NeonLayer | NeonContainer


def layer(kind: str, name: str, **params: Array) -> NeonLayer:
    return NeonLayer(f"neon.layers.layer.{kind}", {"name": name}, params)


def numbers(*shape: int) -> Array:
    """All different, so that any permutation shows."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def linear(name: str, outputs: int = 1000, inputs: int = 3) -> NeonLayer:
    return layer("Linear", name, W=numbers(outputs, inputs))


def bias(name: str, outputs: int = 1000) -> NeonLayer:
    return layer("Bias", name, W=numbers(outputs, 1))


def convolution(name: str, outputs: int = 1000, inputs: int = 3) -> NeonLayer:
    return layer("Convolution", name, W=numbers(inputs, outputs))


def container(kind: str, *items: Item, name: str = "") -> NeonContainer:
    return NeonContainer(f"neon.layers.container.{kind}", {"name": name} if name else {}, items)


def sequential(*items: Item) -> NeonContainer:
    return container("Sequential", *items)


def model(root: NeonContainer, meta: Mapping[str, Any] | None = None) -> NeonModel:
    return NeonModel(root, {"backend": {"compat_mode": "caffe"}, **({META: dict(meta)} if meta is not None else {})})


def param(of: NeonModel, name: str, key: str = "W") -> Array:
    """The array of the only layer with this name."""
    (found,) = [each for each in of.root.walk() if each.name == name]
    value = found.params[key]
    assert isinstance(value, np.ndarray)
    return value
