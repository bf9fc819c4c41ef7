"""Where blobs come from: Input, and data layers, whose tops are inputs here as well.

A data layer's files and transformations stay outside: the input is what Caffe would hand to the net.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from caffe2neon.caffe import caffe_pb2
from caffe2neon.engines.caffe_embedded.registry import Layer, Tensor, layer
from caffe2neon.errors import EngineError
from caffe2neon.records import Shape

_T = TypeVar("_T")


@layer("Input", bottoms=(0, 0), tops=(1, None))
def input_(layer: Layer) -> list[Tensor]:
    shapes = [tuple(shape.dim) for shape in layer.param.input_param.shape]
    layer.require(len(shapes) in (0, 1, layer.tops), f"there are {len(shapes)} shapes for {layer.tops} tops")
    return [layer.declare(top, shapes[top if len(shapes) > 1 else 0] if shapes else None) for top in range(layer.tops)]


def _unknown_shapes(layer: Layer) -> list[Tensor]:
    return [layer.declare(top, None) for top in range(layer.tops)]


layer("Data", bottoms=(0, 0), tops=(1, 2))(_unknown_shapes)
layer("ImageData", bottoms=(0, 0), tops=(2, 2))(_unknown_shapes)
layer("HDF5Data", bottoms=(0, 0), tops=(1, None))(_unknown_shapes)
layer("WindowData", bottoms=(0, 0), tops=(2, 2))(_unknown_shapes)


@layer("MemoryData", bottoms=(0, 0), tops=(2, 2))
def memory_data(layer: Layer) -> list[Tensor]:
    param = layer.param.memory_data_param
    return [
        layer.declare(0, (param.batch_size, param.channels, param.height, param.width)),
        layer.declare(1, (param.batch_size,)),
    ]


@layer("DummyData", bottoms=(0, 0), tops=(1, None))
def dummy_data(layer: Layer) -> list[Tensor]:
    param = layer.param.dummy_data_param
    layer.require(len(param.data_filler) in (0, 1, layer.tops), f"there are {len(param.data_filler)} fillers for {layer.tops} tops")
    fillers = param.data_filler or [caffe_pb2.FillerParameter()]
    tensors = []
    for top, shape in enumerate(_dummy_shapes(layer, param)):
        filler = fillers[top if len(fillers) > 1 else 0]
        if filler.type != "constant":
            raise EngineError(f"DummyData with a filler of type {filler.type!r} is random; only constants can be computed here")
        tensors.append(layer.op("Identity", np.full(shape, filler.value, np.float32), shape=shape))
    return tensors


def _dummy_shapes(layer: Layer, param: caffe_pb2.DummyDataParameter) -> list[Shape]:
    legacy = (param.num, param.channels, param.height, param.width)
    if not any(legacy):
        return [tuple(_pick(layer, param.shape, top, "shape").dim) for top in range(layer.tops)]
    layer.require(not param.shape, "both shape and legacy dimensions are given")
    names = ("num", "channels", "height", "width")
    return [tuple(_pick(layer, sizes, top, name) for name, sizes in zip(names, legacy, strict=True)) for top in range(layer.tops)]


def _pick(layer: Layer, values: Sequence[_T], top: int, name: str) -> _T:
    layer.require(len(values) in (1, layer.tops), f"{name} is given {len(values)} times for {layer.tops} tops")
    return values[top if len(values) > 1 else 0]
