"""Which blobs of a caffemodel belong to which layer, and whether they fit."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import prod

import numpy as np

from caffe2neon.errors import WeightsError, located
from caffe2neon.records import Array, CaffeNet, CaffeWeights, Deferred, Graph, Node, Shape

Blobs = Mapping[Node, tuple[Deferred, ...]]


def fit(graph: Graph, weights: CaffeWeights) -> Blobs:
    """Learnable blobs by node, in the shapes the net gives them, float32 when made.

    As ``Net::CopyTrainedLayersFrom``: layers match by name, layers that only the file has are ignored, and a shape fits where it
    is equal, or the four dimensions of old files with ones before ((1, 1, N, K) is N×K). Layers that share a parameter by name
    share its memory, so the copy that comes last in the file stands for all of them, and those that are not in the file need no
    blobs of their own.

    Raises:
        WeightsError: a layer without weights, or a wrong number or shape of blobs; names all layers that do not fit.
    """
    mistakes = []
    found: dict[Node, tuple[Deferred, ...]] = {}
    claimed: set[str] = set()
    shared = _shared(graph.net, weights)
    for node in graph.nodes:
        if not node.params:
            continue
        try:
            with located(layer=node.layer.name, layer_type=node.layer.type):
                if node.layer.name in claimed:
                    raise WeightsError(_TWICE, remedy="give each layer with weights a name of its own, in both files")
                claimed.add(node.layer.name)
                found[node] = _fit(node, weights, shared)
        except WeightsError as error:
            mistakes.append(error)
    if len(mistakes) == 1:
        with located(path=weights.path):
            raise mistakes[0]
    if mistakes:
        lines = "".join(f"\n  {error.where}: {error.message}" for error in mistakes)
        raise WeightsError(f"{len(mistakes)} layers do not fit the net:{lines}", path=weights.path, remedy=_REMEDY)
    return found


def pending(graph: Graph) -> Blobs:
    """Blobs of the shapes the net gives them, without any weights: for checking what would convert."""
    return {
        node: tuple(Deferred(shape, partial(np.zeros, shape, np.float32)) for shape in node.params)
        for node in graph.nodes
    }


_TWICE = "has the name of an earlier layer with weights: Caffe loads both layers' weights into the first"
_REMEDY = "this caffemodel belongs to another net, or to another version of it"


def _shared(net: CaffeNet, weights: CaffeWeights) -> dict[str, Array]:
    """The blob of each parameter that has a name: of all layers that share it, the one that the file has last."""
    order = {name: number for number, name in enumerate(weights.blobs)}
    holders: dict[str, tuple[int, int, str]] = {}
    for layer in net.layers:
        for index, spec in enumerate(layer.param.param):
            if spec.name and index < len(weights.blobs.get(layer.name, ())):
                holder = (order[layer.name], index, layer.name)
                holders[spec.name] = max(holder, holders.get(spec.name, holder))
    return {name: weights.blobs[layer][index] for name, (_, index, layer) in holders.items()}


def _fit(node: Node, weights: CaffeWeights, shared: Mapping[str, Array]) -> tuple[Deferred, ...]:
    blobs = weights.blobs.get(node.layer.name)
    tied = {i: shared[spec.name] for i, spec in enumerate(node.layer.param.param) if spec.name in shared}
    if not blobs and (blobs is not None or len(tied) < len(node.params)):
        raise WeightsError("has no weights in this file", remedy=_REMEDY)
    if blobs and len(blobs) != len(node.params):
        raise WeightsError(f"needs {len(node.params)} blob(s), the file has {len(blobs)}", remedy=_REMEDY)
    for i, (blob, shape) in enumerate(zip(blobs or (), node.params, strict=False)):
        if not _fits(blob.shape, shape):
            raise _wrong_shape(i, blob, shape)
    return tuple(_deferred(i, tied[i] if i in tied else (blobs or ())[i], shape) for i, shape in enumerate(node.params))


def _deferred(index: int, blob: Array, shape: Shape) -> Deferred:
    if prod(blob.shape) != prod(shape):  # of a shared blob that only another layer's shape has been held against
        raise _wrong_shape(index, blob, shape)
    return Deferred(shape, lambda: np.asarray(blob, np.float32).reshape(shape))


def _wrong_shape(index: int, blob: Array, shape: Shape) -> WeightsError:
    wanted, given = ("×".join(map(str, s)) for s in (shape, blob.shape))
    return WeightsError(f"blob {index} should be {wanted}, the file has {given}", remedy=_REMEDY)


def _fits(given: Shape, wanted: Shape) -> bool:
    """Caffe's ``Blob::ShapeEquals``: equal, or the four legacy dimensions with ones before."""
    return given == wanted or (len(given) == 4 and given == (1,) * (4 - len(wanted)) + wanted)
