"""Losses and Accuracy: scalars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffe2neon.graph.shapes.registry import Shapes, axis, require, rule
from caffe2neon.records import Shape

if TYPE_CHECKING:
    from caffe2neon.caffe.caffe_pb2 import LayerParameter


@rule(
    "SoftmaxWithLoss",
    "SigmoidCrossEntropyLoss",
    "EuclideanLoss",
    "HingeLoss",
    "InfogainLoss",
    "MultinomialLogisticLoss",
    "ContrastiveLoss",
    bottoms=range(2, 4),
)
def _loss(layer: LayerParameter, _: Sequence[Shape]) -> Shapes:
    # Caffe documents a second top, the probabilities, but its own check of loss_weight refuses it, given or not
    require(len(layer.top) == 1, "has two tops: Caffe's check of loss_weight refuses the second")
    return Shapes(((),))


@rule("Accuracy", bottoms=2)
def _accuracy(layer: LayerParameter, bottoms: Sequence[Shape]) -> Shapes:
    classes = bottoms[0][axis(layer.accuracy_param.axis, bottoms[0])]
    return Shapes(((), (classes,))[: len(layer.top)])
