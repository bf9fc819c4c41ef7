"""A whole net to ONNX: which version of which blob each layer reads, writes and overwrites (net.cpp, insert_splits.cpp)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from caffe2neon.engines.caffe_embedded import layers as _layers  # noqa: F401 - fills the registry
from caffe2neon.engines.caffe_embedded.params import Params
from caffe2neon.engines.caffe_embedded.registry import FINE, KINDS, Kind, Layer, Tensor
from caffe2neon.engines.onnx_graph import OnnxGraph
from caffe2neon.errors import EngineError, GraphError, WeightsError, Where, located
from caffe2neon.records import Array, Blob, CaffeLayer, CaffeNet, CaffeWeights, Shape


@dataclass(frozen=True)
class Translation:
    """``inputs`` are whole shapes by blob name; ``tensors`` all blob versions by key, in the order of their layers."""

    graph: OnnxGraph
    inputs: Mapping[str, Shape]
    tensors: Mapping[str, Tensor]
    outputs: tuple[str, ...]


def translate(net: CaffeNet, weights: CaffeWeights, batch: int | None, shapes: Mapping[str, Shape]) -> Translation:
    """Translate ``net``; see :func:`~caffe2neon.engines.caffe_embedded.open_caffe_embedded` for arguments and errors."""
    state = _State(Params(net, weights), _split_blobs(net), batch, shapes)
    for number, layer in enumerate(net.layers):
        with located(path=net.path, line=layer.line, layer=layer.name, layer_type=layer.type):
            state.add(number, layer)
    outputs = state.outputs()
    if state.misfits:
        raise state.misfits[0]
    return Translation(state.graph, state.inputs, state.tensors, outputs)


def _split_blobs(net: CaffeNet) -> frozenset[tuple[int, int]]:
    """Bottoms, as (layer, bottom), that Caffe puts a Split before: their blob version has several readers or is a loss."""
    last_top: dict[str, tuple[int, int]] = {}
    sources: dict[tuple[int, int], tuple[int, int]] = {}
    readers: Counter[tuple[int, int]] = Counter()
    for number, layer in enumerate(net.layers):
        for index, name in enumerate(layer.bottoms):
            if name not in last_top:
                message = f"unknown bottom blob {name!r}"
                raise GraphError(message, path=net.path, line=layer.line, layer=layer.name, layer_type=layer.type)
            sources[number, index] = last_top[name]
            readers[last_top[name]] += 1
        for index, name in enumerate(layer.tops):
            last_top[name] = (number, index)
        for index, weight in enumerate(layer.param.loss_weight[: len(layer.tops)]):
            readers[number, index] += weight != 0
    return frozenset(bottom for bottom, source in sources.items() if readers[source] > 1)


@dataclass
class _State:
    params: Params
    split: frozenset[tuple[int, int]]
    batch: int | None
    shapes: Mapping[str, Shape]
    graph: OnnxGraph = field(default_factory=OnnxGraph)
    inputs: dict[str, Shape] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    newest: dict[str, Blob] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    spoilt: dict[str, str] = field(default_factory=dict)
    misfits: list[WeightsError] = field(default_factory=list)
    storages: int = 0

    def add(self, number: int, layer: CaffeLayer) -> None:
        kind = KINDS.get(layer.type)
        if kind is None:
            raise EngineError(f"the embedded Caffe engine does not know the layer type {layer.type!r}")
        in_place = [
            index < len(layer.bottoms) and layer.bottoms[index] == top and (number, index) not in self.split
            for index, top in enumerate(layer.tops)
        ]
        bottoms = tuple(self._bottom(name) for name in layer.bottoms)
        tops = max(len(layer.tops), 1) if kind.loss else len(layer.tops)
        self._check(layer, kind, in_place, tops)
        asked: list[tuple[Shape, ...]] = []

        def bind(shapes: tuple[Shape, ...]) -> tuple[Array, ...]:
            asked.append(shapes)
            try:
                return self.params.bind(number, layer.param, shapes)
            except WeightsError as error:
                where = Where(path=self.params.path, layer=layer.name, layer_type=layer.type)
                self.misfits.append(WeightsError(error.message, remedy=error.remedy, where=where))
                return tuple(np.broadcast_to(np.float32(0), shape) for shape in shapes)

        declare = partial(self._declare, layer)
        produced = kind.translate(Layer(layer.param, bottoms, tops, any(in_place), self.graph, declare, bind))
        if not asked:
            bind(())
        for name, tensor, overwrites in zip(layer.tops, produced, in_place, strict=False):
            self._top(name, tensor, overwrites, layer.name)

    def outputs(self) -> tuple[str, ...]:
        keys = tuple(key for key in self.tensors if key not in self.read)
        for key in keys:
            self._refuse_spoilt(key)
        return keys

    def _check(self, layer: CaffeLayer, kind: Kind, in_place: list[bool], tops: int) -> None:
        kind.check(len(layer.bottoms), tops)
        given = len(layer.param.loss_weight) or (1 if kind.loss else 0)
        if given and given != tops:
            raise GraphError(f"loss_weight must be given once a top or not at all; there are {given} for {tops} tops")
        fresh = [top for top, overwrites in zip(layer.tops, in_place, strict=True) if not overwrites]
        for index, top in enumerate(fresh):
            if top in self.newest or top in fresh[:index]:
                raise GraphError(f"top blob {top!r} is produced by several layers")
        if any(in_place) and kind.in_place != FINE:
            raise GraphError(kind.in_place, remedy="Give its top a name of its own.")

    def _bottom(self, name: str) -> Tensor:
        key = self.newest[name].key
        self._refuse_spoilt(key)
        self.read.add(key)
        return self.tensors[key]

    def _refuse_spoilt(self, key: str) -> None:
        if key in self.spoilt:
            message = f"blob {key!r} shares its memory with one that layer {self.spoilt[key]!r} overwrites in place"
            raise GraphError(message, remedy="Give that layer's top a name of its own.")

    def _top(self, name: str, tensor: Tensor, overwrites: bool, layer: str) -> None:
        before = self.newest.get(name)
        if before is None:
            blob = Blob(name, 0, tensor.shape)
            if not tensor.storage:
                self.storages += 1
                tensor = replace(tensor, storage=self.storages)
        else:
            blob = Blob(name, before.version + 1, tensor.shape)
            tensor = replace(tensor, storage=self.tensors[before.key].storage)
            if overwrites:
                others = (other.key for other in self.newest.values() if other.name != name)
                self.spoilt.update((key, layer) for key in others if self.tensors[key].storage == tensor.storage)
        self.newest[name] = blob
        self.tensors[blob.key] = tensor

    def _declare(self, layer: CaffeLayer, index: int, shape: Shape | None) -> Tensor:
        name = layer.tops[index]
        shape = self.shapes.get(name, shape)
        if shape is None:
            raise EngineError(f"the net does not say the shape of its input {name!r}", remedy="Give it as shapes={name: shape}.")
        if self.batch is not None and shape:
            shape = (self.batch, *shape[1:])
        if any(size < 1 for size in shape):
            raise GraphError(f"input {name!r} has shape {shape}")
        self.inputs[name] = shape
        # no tensor that the graph names itself begins like this
        return Tensor(self.graph.input(f"input:{name}", shape), shape)
