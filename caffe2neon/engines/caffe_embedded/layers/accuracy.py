"""Accuracy (accuracy_layer.cpp): a prediction is right when fewer than k others are as large as the true class's."""

from __future__ import annotations

import numpy as np

from caffe2neon.engines.caffe_embedded.layers.loss import Labels, labels_of, over_rows
from caffe2neon.engines.caffe_embedded.registry import Layer, Tensor, layer


@layer("Accuracy", bottoms=(2, 2), tops=(1, 2))
def accuracy(layer: Layer) -> list[Tensor]:
    param = layer.param.accuracy_param
    axis = layer.axis(param.axis)
    predictions = over_rows(layer, layer.bottoms[0], axis)
    classes = predictions.shape[1]
    labels = labels_of(layer, predictions, param.ignore_label if param.HasField("ignore_label") else None)
    layer.require(param.top_k <= classes, f"top_k {param.top_k} is more than the {classes} classes")
    true = layer.op("GatherElements", predictions, labels.index, shape=labels.index.shape, axis=1)
    as_large = layer.op("Cast", layer.op("GreaterOrEqual", predictions, true), to=1)
    rank = layer.op("ReduceSum", as_large, [1], shape=labels.index.shape, keepdims=1)
    right = layer.op("Mul", layer.op("Cast", layer.op("LessOrEqual", rank, float(param.top_k)), to=1), labels.valid)
    total = layer.op("ReduceSum", labels.valid, shape=(), keepdims=0)
    tops = [layer.op("Div", layer.op("ReduceSum", right, shape=(), keepdims=0), layer.op("Max", total, 1.0))]
    if layer.tops == 2:
        tops.append(_per_class(layer, labels, right, classes))
    return tops


def _per_class(layer: Layer, labels: Labels, right: Tensor, classes: int) -> Tensor:
    shape = (right.shape[0], classes, right.shape[2])
    number = np.arange(classes).reshape(1, -1, 1)
    member = layer.op("Cast", layer.op("Equal", labels.index, number, shape=shape), to=1)
    hits = layer.op("ReduceSum", layer.op("Mul", member, right), [0, 2], shape=(classes,), keepdims=0)
    counted = layer.op("ReduceSum", layer.op("Mul", member, labels.valid), [0, 2], shape=(classes,), keepdims=0)
    return layer.op("Div", hits, layer.op("Max", counted, 1.0))
