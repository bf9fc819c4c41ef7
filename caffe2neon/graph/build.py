"""A net definition becomes a graph of blob versions with shapes."""

from __future__ import annotations

from collections import Counter
from math import prod

from caffe2neon.errors import GraphError, Where, located
from caffe2neon.graph.shapes import infer
from caffe2neon.records import Blob, CaffeLayer, CaffeNet, Graph, Node, Shape

#: Types that Caffe lets overwrite their bottom, or that work when they do. The others either refuse (AbsVal, Flatten, Reshape) or
#: run and mean nothing, because they read what they have already overwritten (Eltwise, LRN, MAX Pooling).
_IN_PLACE = frozenset(
    {"BatchNorm", "Bias", "BNLL", "Clip", "Convolution", "Dropout", "ELU", "Exp", "Log", "MVN"}
    | {"Power", "PReLU", "ReLU", "Scale", "Sigmoid", "Softmax", "Swish", "TanH", "Threshold"}
)

#: Types whose tops are their bottom's memory under another name; Concat and Slice join them where they have one bottom and one top.
_SHARING = frozenset({"Flatten", "Reshape", "Split"})


def build_graph(net: CaffeNet) -> Graph:
    """Resolve names to blob versions and infer all shapes, as ``Net::Init`` and ``InsertSplits`` do.

    A layer whose top is its bottom makes the next version of the blob: later readers see that one, earlier readers the one before.
    A blob that several layers read is an implicit Split, and needs nothing here.

    Raises:
        GraphError: what Caffe would refuse: an unknown bottom, a top that two layers make, a blob overwritten in place although
            another layer reads it too, shapes that do not fit, a parameter shared between different shapes; also what Caffe runs
            but computes wrongly: an in-place Eltwise, a blob read after another that shares its memory was overwritten.
    """
    newest: dict[str, Blob] = {}
    nodes: list[Node] = []
    readers: Counter[Blob] = Counter()
    memory, parameters = _Memory(), _Parameters()
    for layer in net.layers:
        with located(layer=layer.name, layer_type=layer.type, path=net.path, line=layer.line):
            bottoms = tuple(_look_up(newest, name) for name in layer.bottoms)
            for blob in bottoms:
                memory.check(blob)
            shapes = infer(layer.param, [blob.shape for blob in bottoms])
            parameters.check(layer, shapes.params)
            if len(shapes.tops) < len(layer.tops):
                raise GraphError(f"has {len(layer.tops)} tops, makes {len(shapes.tops)}")
            tops = []
            for name, shape in zip(layer.tops, shapes.tops, strict=False):
                overwritten = newest.get(name)
                if overwritten is None:
                    tops.append(Blob(name, 0, shape))
                    memory.make(layer, tops[-1], bottoms)
                    continue
                _check_in_place(layer, overwritten, readers[overwritten], repeated=any(top.name == name for top in tops))
                tops.append(Blob(name, overwritten.version + 1, shape))
                memory.overwrite(layer, overwritten, tops[-1])
            readers.update(bottoms)
            newest.update((blob.name, blob) for blob in tops)
            nodes.append(Node(layer, bottoms, tuple(tops), shapes.params))
    inputs = tuple(blob for node in nodes if not node.bottoms for blob in node.tops)
    outputs = sorted((blob for node in nodes for blob in node.tops if not readers[blob]), key=lambda blob: blob.name)
    for blob in outputs:
        memory.check(blob, path=net.path)
    return Graph(net, tuple(nodes), inputs, tuple(outputs))


class _Memory:
    """Which blobs lie in the same memory, and which were spoilt when a layer overwrote another blob there in place."""

    def __init__(self) -> None:
        self._sharing: dict[Blob, set[Blob]] = {}
        self._spoilt: dict[Blob, str] = {}

    def make(self, layer: CaffeLayer, top: Blob, bottoms: tuple[Blob, ...]) -> None:
        shares = layer.type in _SHARING or (layer.type in ("Concat", "Slice") and len(layer.bottoms) == len(layer.tops) == 1)
        self._sharing[top] = self._sharing[bottoms[0]] if shares else set()
        self._sharing[top].add(top)

    def overwrite(self, layer: CaffeLayer, before: Blob, after: Blob) -> None:
        sharing = self._sharing[after] = self._sharing[before]
        self._spoilt.update((blob, layer.name) for blob in sharing)
        sharing.add(after)

    def check(self, blob: Blob, *, path: str = "") -> None:
        if blob in self._spoilt:
            raise GraphError(
                f"blob {blob.name!r} shares its memory with one that layer {self._spoilt[blob]!r} overwrites in place",
                remedy="give that layer's top another name",
                where=Where(path=path),
            )


class _Parameters:
    """Learnable blobs that layers share by name; the first layer that has one owns it. See net.cpp, ``Net::AppendParam``."""

    def __init__(self) -> None:
        self._owners: dict[str, tuple[CaffeLayer, Shape]] = {}

    def check(self, layer: CaffeLayer, shapes: tuple[Shape, ...]) -> None:
        for spec, shape in zip(layer.param.param, shapes, strict=False):
            if not spec.name:
                continue
            owner, owned = self._owners.setdefault(spec.name, (layer, shape))
            fits = prod(shape) == prod(owned) if spec.share_mode == spec.PERMISSIVE else shape == owned
            if not fits:
                here, there = ("×".join(map(str, size)) or "scalar" for size in (shape, owned))
                raise GraphError(
                    f"parameter {spec.name!r} is {here} here, but {there} in layer {owner.name!r}, which shares it",
                    remedy="layers that share a parameter must give it one shape",
                )


def _look_up(newest: dict[str, Blob], name: str) -> Blob:
    if name not in newest:
        raise GraphError(f"unknown bottom blob {name!r}", remedy="no layer before has it as a top: is a layer or an input missing?")
    return newest[name]


def _check_in_place(layer: CaffeLayer, blob: Blob, readers: int, *, repeated: bool) -> None:
    """Whether ``layer`` may make the next version of ``blob``."""
    if repeated or blob.name not in layer.bottoms:
        raise GraphError(f"top blob {blob.name!r} is produced by several layers", remedy="give one of the tops another name")
    if readers:
        raise GraphError(
            f"overwrites {blob.name!r} in place although another layer reads it: Caffe refuses that (produced by multiple sources)",
            remedy="give its top another name, and let the layers after it read that",
        )
    if layer.type not in _IN_PLACE:
        raise GraphError(
            f"cannot work in place on {blob.name!r}: Caffe refuses it, or reads what it has already overwritten",
            remedy="give its top another name",
        )
