"""Which blobs of a caffemodel belong to which layer, and whether they fit."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from caffe2neon.errors import WeightsError, located
from caffe2neon.records import Array, CaffeWeights, Deferred, Graph, Node, Shape

Blobs = Mapping[Node, tuple[Deferred, ...]]


def fit(graph: Graph, weights: CaffeWeights) -> Blobs:
    """Learnable blobs by node, in the shapes the net gives them, float32 when made.

    As ``Net::CopyTrainedLayersFrom``: layers match by name, layers that only the file has are ignored, and a shape fits where it is
    equal or, in old files, equal with leading ones ((1, 1, N, K) is N×K).

    Raises:
        WeightsError: a layer without weights, or a wrong number or shape of blobs; names all layers that do not fit.
    """
    mistakes = []
    found: dict[Node, tuple[Deferred, ...]] = {}
    claimed: set[str] = set()
    for node in graph.nodes:
        if not node.params:
            continue
        try:
            with located(layer=node.layer.name, layer_type=node.layer.type):
                if node.layer.name in claimed:
                    raise WeightsError(_TWICE, remedy="give each layer with weights a name of its own, in both files")
                claimed.add(node.layer.name)
                found[node] = _fit(node, weights)
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


def _fit(node: Node, weights: CaffeWeights) -> tuple[Deferred, ...]:
    blobs = weights.blobs.get(node.layer.name)
    if not blobs:
        raise WeightsError("has no weights in this file", remedy=_REMEDY)
    if len(blobs) != len(node.params):
        raise WeightsError(f"needs {len(node.params)} blob(s), the file has {len(blobs)}", remedy=_REMEDY)
    return tuple(_fit_blob(i, blob, shape) for i, (blob, shape) in enumerate(zip(blobs, node.params, strict=True)))


def _fit_blob(index: int, blob: Array, shape: Shape) -> Deferred:
    if _without_leading_ones(blob.shape) != _without_leading_ones(shape):
        wanted, given = ("×".join(map(str, s)) for s in (shape, blob.shape))
        raise WeightsError(f"blob {index} should be {wanted}, the file has {given}", remedy=_REMEDY)
    return Deferred(shape, lambda: np.asarray(blob, np.float32).reshape(shape))


def _without_leading_ones(shape: Shape) -> Shape:
    first = next((i for i, size in enumerate(shape) if size != 1), len(shape))
    return shape[first:]
