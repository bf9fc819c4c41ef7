"""Which learnable blobs a layer gets: by name, by number, by shape, shared or its own (net.cpp, blob.cpp)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from caffe2neon.caffe import caffe_pb2
from caffe2neon.errors import GraphError, WeightsError
from caffe2neon.records import Array, CaffeNet, CaffeWeights, Shape

REMEDY = "Is this caffemodel the one that belongs to this prototxt?"


class Params:
    """Looks up the blobs of a net's layers in a weights file.

    Caffe copies blobs in the file's order into the first layer of each name; layers that share a parameter share its memory, so
    the last copy stands.
    """

    def __init__(self, net: CaffeNet, weights: CaffeWeights) -> None:
        self.path = weights.path
        self._weights = weights
        self._order = {name: number for number, name in enumerate(weights.blobs)}
        self._first = {layer.name: number for number, layer in reversed(list(enumerate(net.layers)))}
        self._shared: dict[str, list[tuple[str, int]]] = {}
        for layer in net.layers:
            for index, spec in enumerate(layer.param.param):
                if spec.name:
                    self._shared.setdefault(spec.name, []).append((layer.name, index))
        self._owners: dict[str, tuple[str, Shape]] = {}

    def bind(self, number: int, param: caffe_pb2.LayerParameter, shapes: tuple[Shape, ...]) -> tuple[Array, ...]:
        """The blobs of the layer at ``number``, float32, in ``shapes``.

        Raises:
            WeightsError: no such layer in the file, or another number of blobs or other shapes.
            GraphError: more ``param`` than blobs, or a parameter shared between different shapes.
        """
        if len(param.param) > len(shapes):
            raise GraphError(f"there are {len(param.param)} param entries for {len(shapes)} learnable blobs")
        own = self._own(number, param.name, shapes)
        return tuple(self._one(param, index, shape, own) for index, shape in enumerate(shapes))

    def _own(self, number: int, name: str, shapes: tuple[Shape, ...]) -> Sequence[Array] | None:
        blobs = self._weights.blobs.get(name) if self._first[name] == number else None
        if blobs is None:
            return None
        if len(blobs) != len(shapes):
            held = _shapes([blob.shape for blob in blobs])
            raise WeightsError(f"the file holds {held} for it, the net has {_shapes(shapes)}", remedy=REMEDY)
        for index, (blob, shape) in enumerate(zip(blobs, shapes, strict=True)):
            if not _fits(blob.shape, shape):
                raise WeightsError(f"blob {index} has shape {blob.shape} in the file, {shape} in the net", remedy=REMEDY)
        return blobs

    def _one(self, param: caffe_pb2.LayerParameter, index: int, shape: Shape, own: Sequence[Array] | None) -> Array:
        spec = param.param[index] if index < len(param.param) else caffe_pb2.ParamSpec()
        blob = own[index] if own is not None else None
        if spec.name:
            self._check_owner(spec, param.name, shape)
            holders = [(self._order[name], name, at) for name, at in self._shared[spec.name] if self._holds(name, at)]
            if holders:
                _, name, at = max(holders)
                blob = self._weights.blobs[name][at]
        if blob is None:
            raise WeightsError(f"the file has none for this layer; the net has blob {index} of shape {shape}", remedy=REMEDY)
        return np.asarray(blob, dtype=np.float32).reshape(shape)

    def _holds(self, name: str, index: int) -> bool:
        return index < len(self._weights.blobs.get(name, ()))

    def _check_owner(self, spec: caffe_pb2.ParamSpec, layer: str, shape: Shape) -> None:
        owner, expected = self._owners.setdefault(spec.name, (layer, shape))
        permissive = spec.share_mode == caffe_pb2.ParamSpec.PERMISSIVE
        if not (prod(shape) == prod(expected) if permissive else shape == expected):
            raise GraphError(f"param {spec.name!r} has shape {shape} here, but {expected} in layer {owner!r}, which shares it")


def _fits(held: Shape, expected: Shape) -> bool:
    """Caffe's ShapeEquals: the same, or legacy 4-D with ones before it."""
    return held == expected or (len(held) == 4 and held == (1,) * (4 - len(expected)) + expected)


def _shapes(shapes: Sequence[Shape]) -> str:
    return f"{len(shapes)} blobs: {', '.join(map(str, shapes))}" if shapes else "no blobs"
