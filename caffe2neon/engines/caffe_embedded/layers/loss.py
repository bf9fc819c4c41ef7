"""Loss layers (softmax_loss_layer.cpp, sigmoid_cross_entropy_loss_layer.cpp, euclidean_loss_layer.cpp, hinge_loss_layer.cpp).

A loss's top is the plain loss: ``loss_weight`` counts in training only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caffe2neon.caffe.caffe_pb2 import HingeLossParameter, LossParameter
from caffe2neon.engines.caffe_embedded.registry import Layer, Tensor, layer

SMALLEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Labels:
    """``index``: class numbers, (outer, 1, inner), 0 where the label is to be ignored; ``valid``: 1.0, and there 0.0."""

    index: Tensor
    valid: Tensor


def over_rows(layer: Layer, tensor: Tensor, axis: int) -> Tensor:
    """``tensor`` as (outer, classes, inner), the classes along ``axis``."""
    return layer.reshape(tensor, (tensor.count(0, axis), tensor.shape[axis], tensor.count(axis + 1)))


def labels_of(layer: Layer, predictions: Tensor, ignore: int | None) -> Labels:
    """The second bottom as labels for ``predictions``, which are (outer, classes, inner)."""
    given = layer.bottoms[1]
    outer, classes, inner = predictions.shape
    layer.require(given.count() == outer * inner, f"{given.count()} labels for {outer * inner} predictions over {classes} classes")
    index = layer.op("Cast", layer.reshape(given, (outer, 1, inner)), to=7)
    if ignore is None:
        return Labels(index, layer.op("Identity", np.ones(index.shape, np.float32), shape=index.shape))
    ignored = layer.op("Equal", index, np.array(ignore, np.int64))
    valid = layer.op("Sub", 1.0, layer.op("Cast", ignored, to=1))
    return Labels(layer.op("Where", ignored, np.array(0, np.int64), index), valid)


@layer("SoftmaxWithLoss", bottoms=(2, 2), tops=(1, 2), loss=True)
def softmax_with_loss(layer: Layer) -> list[Tensor]:
    # the loss layer hands its loss_weight on to the Softmax inside, which has one top: HEAD so refuses its own second top
    layer.require(layer.tops == 1, "Caffe refuses the second top of SoftmaxWithLoss: loss_weight cannot be right for both layers")
    _check_batches(layer)
    param = layer.param.loss_param
    scores = over_rows(layer, layer.bottoms[0], layer.axis(layer.param.softmax_param.axis))
    labels = labels_of(layer, scores, param.ignore_label if param.HasField("ignore_label") else None)
    true = layer.op("GatherElements", layer.op("Softmax", scores, axis=1), labels.index, shape=labels.index.shape, axis=1)
    losses = layer.op("Neg", layer.op("Log", layer.op("Max", true, SMALLEST)))
    default = LossParameter.BATCH_SIZE if param.HasField("normalize") and not param.normalize else LossParameter.VALID
    return [_normalized(layer, losses, labels.valid, default, scores.shape[0])]


@layer("SigmoidCrossEntropyLoss", bottoms=(2, 2), loss=True)
def sigmoid_cross_entropy_loss(layer: Layer) -> list[Tensor]:
    _check_batches(layer)
    param = layer.param.loss_param
    scores, given = layer.bottoms
    layer.require(scores.count() == given.count(), f"bottoms of shapes {scores.shape} and {given.shape} must have the same count")
    targets = layer.reshape(given, scores.shape)
    # log(1 + e^x) - x t, in the form that does not overflow
    positive = layer.op("Cast", layer.op("GreaterOrEqual", scores, 0.0), to=1)
    linear = layer.op("Mul", scores, layer.op("Sub", targets, positive))
    bend = layer.op("Log", layer.op("Add", layer.op("Exp", layer.op("Neg", layer.op("Abs", scores))), 1.0))
    losses = layer.op("Sub", bend, linear)
    valid = layer.op("Identity", np.ones(scores.shape, np.float32), shape=scores.shape)
    if param.HasField("ignore_label"):
        ignored = layer.op("Equal", layer.op("Cast", targets, to=7), np.array(param.ignore_label, np.int64))
        valid = layer.op("Sub", 1.0, layer.op("Cast", ignored, to=1))
    default = LossParameter.VALID if param.HasField("normalize") and param.normalize else LossParameter.BATCH_SIZE
    return [_normalized(layer, losses, valid, default, scores.shape[0])]


@layer("EuclideanLoss", bottoms=(2, 2), loss=True)
def euclidean_loss(layer: Layer) -> list[Tensor]:
    _check_batches(layer)
    first, second = layer.bottoms
    layer.require(first.count(1) == second.count(1), f"bottoms of shapes {first.shape} and {second.shape} must have the same count")
    difference = layer.op("Sub", first, layer.reshape(second, first.shape))
    total = layer.op("ReduceSumSquare", difference, shape=(), keepdims=0)
    return [layer.op("Div", total, 2.0 * first.shape[0])]


@layer("HingeLoss", bottoms=(2, 2), loss=True)
def hinge_loss(layer: Layer) -> list[Tensor]:
    _check_batches(layer)
    scores = layer.bottoms[0]
    rows = layer.reshape(scores, (scores.shape[0], scores.count(1), 1))
    labels = labels_of(layer, rows, None)
    true = layer.op("Equal", labels.index, np.arange(rows.shape[1]).reshape(1, -1, 1), shape=rows.shape)
    signed = layer.op("Where", true, layer.op("Neg", rows), rows, shape=rows.shape)
    margins = layer.op("Relu", layer.op("Add", signed, 1.0))
    squared = layer.param.hinge_loss_param.norm == HingeLossParameter.L2
    total = layer.op("ReduceSumSquare" if squared else "ReduceSum", margins, shape=(), keepdims=0)
    return [layer.op("Div", total, float(scores.shape[0]))]


def _check_batches(layer: Layer) -> None:
    first, second = layer.bottoms
    layer.require(
        first.rank and second.rank and first.shape[0] == second.shape[0],
        f"data and labels must have the same first axis: {first.shape} and {second.shape}",
    )


def _normalized(layer: Layer, losses: Tensor, valid: Tensor, default: LossParameter.NormalizationMode, batch: int) -> Tensor:
    """The sum of ``losses`` where ``valid``, divided as loss_param says; at least by 1."""
    param = layer.param.loss_param
    total = layer.op("ReduceSum", layer.op("Mul", losses, valid), shape=(), keepdims=0)
    mode = param.normalization if param.HasField("normalization") else default
    if mode == LossParameter.VALID:
        return layer.op("Div", total, layer.op("Max", layer.op("ReduceSum", valid, shape=(), keepdims=0), 1.0))
    divisor = {LossParameter.FULL: losses.count(), LossParameter.BATCH_SIZE: batch, LossParameter.NONE: 1}[mode]
    return layer.op("Div", total, float(divisor))
