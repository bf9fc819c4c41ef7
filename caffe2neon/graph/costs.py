"""What a layer costs to compute, and to store."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from caffe2neon.graph.shapes import Shapes
from caffe2neon.records import Shape

if TYPE_CHECKING:
    from caffe2neon.caffe.caffe_pb2 import LayerParameter


def multiply_adds(layer: LayerParameter, bottoms: Sequence[Shape], shapes: Shapes) -> int:
    """Multiply-adds for one example (batch 1): of Convolution, Deconvolution and InnerProduct; any other layer counts 0.

    Each value of a convolution's output takes one per weight of its map, whether it meets the image or the padding; each of a
    deconvolution's input, likewise. Biases count 0.
    """
    if layer.type == "Convolution":
        # weight (K, C/group, R, S); each bottom has a top
        return sum(prod(top[2:]) for top in shapes.tops) * prod(shapes.params[0])
    if layer.type == "Deconvolution":
        # weight (C, K/group, R, S)
        return sum(prod(bottom[2:]) for bottom in bottoms) * prod(shapes.params[0])
    if layer.type == "InnerProduct":
        # weight (K, n), once for each place on the axes between N and K
        return prod(shapes.tops[0][1:-1]) * prod(shapes.params[0])
    return 0


def already_owned(layer: LayerParameter, params: Sequence[Shape], owned: set[str]) -> int:
    """How many numbers of a layer's learnable blobs another layer owns: those under a name that came before.

    ``params`` are the blobs' shapes; the layer's names are added to ``owned``.
    """
    count = 0
    for spec, shape in zip(layer.param, params, strict=False):
        count += prod(shape) if spec.name in owned else 0
        owned.update({spec.name} - {""})
    return count
