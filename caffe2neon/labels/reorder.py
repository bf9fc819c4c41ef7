"""A model whose classes are taken from Caffe's order to neon's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from caffe2neon.errors import LabelError
from caffe2neon.labels.heads import CLASS_AXIS, find_classifiers, named_classifiers
from caffe2neon.labels.orders import NEON, LabelMap, class_order
from caffe2neon.records import META, Array, Deferred, NeonContainer, NeonLayer, NeonModel, Param


def remap(model: NeonModel, order: LabelMap, *, layers: Sequence[str] = (), again: bool = False) -> NeonModel:
    """The same model with output ``i`` showing what output ``order.array[i]`` showed; ``model`` stays as it is.

    The classifier of every head is found by its structure: the last Linear or Convolution, of 1000 outputs, with nothing behind it
    but layers that keep the classes apart. Rows of Linear and Bias are permuted, columns of a convolution, the vectors of a
    BatchNorm between, and optimizer states with them. The model then records ``class_order`` and ``remap``, see
    :attr:`NeonModel.meta`.

    Args:
        layers: names of the classifiers to permute instead, wherever they are; Bias and BatchNorm right behind go with them.
        again: permute a model that says it was done. Its record then has the two maps in one.

    Raises:
        LabelError: no classifier, not 1000-way, or done already.
    """
    if class_order(model) == NEON and not again:
        raise LabelError("the classes of this model are in neon's order already", remedy="convert it again to start anew")
    classifiers = named_classifiers(model.root, layers) if layers else find_classifiers(model.root)
    permuted = {id(layer) for classifier in classifiers for layer in classifier.permuted}
    outputs = list(dict.fromkeys(layer.name for classifier in classifiers for layer in classifier.outputs if layer.name))
    meta = {**model.meta, "class_order": NEON, "remap": _record(model, order, outputs)}
    return NeonModel(_rebuilt(model.root, permuted, order.array), {**model.header, META: meta})


def _record(model: NeonModel, order: LabelMap, layers: list[str]) -> dict[str, Any]:
    """What :attr:`NeonModel.meta` says of all remapping so far.

    Raises:
        LabelError: some of the layers were permuted before and some were not, so that no single map describes them.
    """
    before = model.meta.get("remap")
    if not isinstance(before, Mapping):
        return {"map": order.array.tolist(), "layers": layers}
    earlier, done = LabelMap(np.asarray(before.get("map", ()))).array, list(before.get("layers", ()))
    if set(layers) == set(done):
        return {"map": earlier[order.array].tolist(), "layers": layers}
    if not set(layers) & set(done) and np.array_equal(earlier, order.array):
        return {"map": earlier.tolist(), "layers": done + layers}
    raise LabelError(
        f"layers {', '.join(done)} were reordered before, and not with these", remedy="convert it again, then reorder all at once"
    )


def _rebuilt(container: NeonContainer, permuted: Collection[int], order: Array) -> NeonContainer:
    items: list[NeonLayer | NeonContainer] = []
    for item in container.layers:
        if isinstance(item, NeonContainer):
            items.append(_rebuilt(item, permuted, order))
        else:
            items.append(_permuted(item, order) if id(item) in permuted else item)
    return replace(container, layers=tuple(items))


def _permuted(layer: NeonLayer, order: Array) -> NeonLayer:
    axis = CLASS_AXIS.get(layer.kind, 0)
    for name, param in layer.params.items():
        if len(param.shape) <= axis or param.shape[axis] != len(order):
            message = f"{name} of shape {tuple(param.shape)} has not {len(order)} classes"
            raise LabelError(message, layer=layer.name, layer_type=layer.kind)
    params = {name: _taken(param, order, axis) for name, param in layer.params.items()}
    return replace(layer, params=params, extra={key: _states(value, order, axis) for key, value in layer.extra.items()})


def _taken(param: Param, order: Array, axis: int) -> Param:
    if isinstance(param, Deferred):
        return Deferred(param.shape, lambda: param.make().take(order, axis))
    return param.take(order, axis)


def _states(value: Any, order: Array, axis: int) -> Any:
    """An optimizer's arrays, in lists, have the shapes of the parameters they belong to."""
    if isinstance(value, list):
        return [_states(item, order, axis) for item in value]
    if isinstance(value, np.ndarray) and value.ndim > axis and value.shape[axis] == len(order):
        return value.take(order, axis)
    return value
