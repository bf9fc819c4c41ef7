"""From a training net to the net that computes: what people do by hand when they write a ``deploy.prototxt``.

Data layers become Input layers, a loss becomes the function within it (SoftmaxWithLoss: Softmax), Accuracy goes, and so does every
layer that then leads to no output. A net that has nothing of all this stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from caffe2neon.caffe.caffe_pb2 import LayerParameter
from caffe2neon.caffe.data_layers import DATA_TYPES, input_layer, recorded_preprocess
from caffe2neon.errors import Finding, GraphError, UnsupportedError, Where
from caffe2neon.records import CaffeLayer, CaffeNet, Loss, Preprocess, Shape

#: Loss type -> the layer type of the function within it ("" for none), and the neon cost that equals it ("" for none).
_LOSSES = {
    "SoftmaxWithLoss": ("Softmax", "CrossEntropyMulti"),
    "SigmoidCrossEntropyLoss": ("Sigmoid", "CrossEntropyBinary"),
    "EuclideanLoss": ("", "SumSquared"),
    "HingeLoss": ("", ""),
    "InfogainLoss": ("Softmax", ""),
    "MultinomialLogisticLoss": ("", ""),
    "ContrastiveLoss": ("", ""),
}
_LEARNABLE = frozenset(("Convolution", "Deconvolution", "InnerProduct", "Embed", "Scale", "Bias", "PReLU", "LSTM", "RNN"))


def deploy(
    net: CaffeNet, *, shape: Shape | None = None, head: str = "", cut: str = "", train: bool = False
) -> CaffeNet:
    """The net without data layers, losses and metrics.

    Args:
        shape: (C, H, W) of a data layer's first top, where the net does not say it; replaces what it says.
        head: keep one output: the name of its blob, of the blob its loss reads, or of its loss. Left empty, a net with several
            losses keeps the one of the largest weight, of equal ones the last; a net without losses keeps all outputs.
        cut: end the net at this blob, inside it or not.
        train: keep every loss, as :class:`Loss` records.

    Raises:
        GraphError: a data layer whose shape nobody knows; a head or a blob that the net has not got.
        UnsupportedError: with ``train``, a loss that no neon cost equals.
    """
    layers, preprocess, notes = _with_inputs(net, shape)
    layers, losses = _without_losses(net, layers, train)
    outputs: Collection[str] | None = None
    if cut:
        outputs, losses = [cut], []
    elif head:
        chosen = [loss for loss in losses if head in (loss.output, loss.layer) or _reads(layers, loss, head)]
        outputs = [chosen[0].output if chosen else head]
        losses = chosen[:1]
    elif losses:
        if not train:
            main = max(enumerate(losses), key=lambda pair: (pair[1].weight, pair[0]))[1]
            notes += [f"the output is {main.output!r}; --head names another: {other.output!r}" for other in losses if other != main]
            losses = [main]
        outputs = [loss.output for loss in losses]
    layers = _leading_to(net, layers, outputs)
    kept = replace(net, layers=tuple(layers), losses=tuple(losses) if train else (), preprocess=preprocess, notes=tuple(notes))
    return kept if kept.layers != net.layers or kept.losses or kept.preprocess else net


def _with_inputs(net: CaffeNet, shape: Shape | None) -> tuple[list[CaffeLayer], Preprocess | None, list[str]]:
    """Data layers as Input layers; the first one's transformations as a :class:`Preprocess`."""
    layers: list[CaffeLayer] = []
    preprocess: Preprocess | None = None
    notes: list[str] = []
    for layer in net.layers:
        if layer.type in DATA_TYPES and layer.tops:
            if preprocess is None:
                preprocess, notes = recorded_preprocess(layer.param)
            layer = replace(layer, param=input_layer(layer.param, shape, Where(path=net.path, line=layer.line)))
        elif layer.type == "Input" and shape is not None:
            layer = replace(layer, param=_reshaped(layer.param, shape))
        layers.append(layer)
    return layers, preprocess, notes


def _reshaped(param: LayerParameter, shape: Shape) -> LayerParameter:
    """The first shape of an Input layer, its batch size kept."""
    result = LayerParameter()
    result.CopyFrom(param)
    if result.input_param.shape:
        dims = result.input_param.shape[0].dim
        dims[1:] = shape
    return result


def _without_losses(net: CaffeNet, layers: Sequence[CaffeLayer], train: bool) -> tuple[list[CaffeLayer], list[Loss]]:
    """Losses as the functions within them; a loss of weight 0 is a metric, and goes like Accuracy."""
    kept: list[CaffeLayer] = []
    losses: list[Loss] = []
    findings: list[Finding] = []
    names = {name for layer in layers for name in (layer.name, *layer.tops)}
    count = sum(layer.type in _LOSSES and _weight(layer) != 0 for layer in layers)
    for index, layer in enumerate(layers):
        if layer.type == "Accuracy" or (layer.type in _LOSSES and _weight(layer) == 0):
            continue
        if layer.type not in _LOSSES:
            kept.append(layer)
            continue
        function, cost = _LOSSES[layer.type]
        prediction, target = _sides(net, layers[:index], layer)
        output = prediction
        if function:
            existing = next((other for other in layers if other.type == function and other.bottoms == (prediction,)), None)
            if existing is not None:
                output = existing.tops[0]
            else:
                output = "prob" if count == 1 and "prob" not in names else f"{prediction}/prob"
                kept.append(CaffeLayer(_function(layer.param, function, prediction, output), layer.line))
        if reason := _no_cost(layer.param, cost):
            findings.append(Finding(Where(path=net.path, line=layer.line, layer=layer.name, layer_type=layer.type), reason))
        losses.append(Loss(layer.name, output, cost, _weight(layer), target))
    if train and findings:
        raise UnsupportedError(findings)
    return kept, losses


def _weight(layer: CaffeLayer) -> float:
    return layer.param.loss_weight[0] if layer.param.loss_weight else 1.0


def _function(loss: LayerParameter, kind: str, bottom: str, top: str) -> LayerParameter:
    result = LayerParameter(name=top, type=kind, bottom=[bottom], top=[top], phase=loss.phase)
    if kind == "Softmax" and loss.HasField("softmax_param"):
        result.softmax_param.CopyFrom(loss.softmax_param)
    return result


def _no_cost(param: LayerParameter, cost: str) -> str:
    """Why no neon cost equals this loss; "" where one does."""
    if not cost:
        return "neon has no cost that equals this loss"
    if param.loss_param.HasField("ignore_label"):
        return "ignores a label, which neon's costs cannot"
    if param.loss_param.normalization == param.loss_param.NONE:
        return "is not divided by the batch size; neon's costs are"
    if cost == "SumSquared" and param.loss_weight and param.loss_weight[0] != 1:
        return f"has a weight of {param.loss_weight[0]:g}, which neon's SumSquared does not take"
    return ""


def _sides(net: CaffeNet, before: Sequence[CaffeLayer], loss: CaffeLayer) -> tuple[str, str]:
    """Which bottom of a loss is computed by the net, and which it is compared with."""
    first, second = loss.bottoms[:2] if len(loss.bottoms) > 1 else (loss.bottoms[0], "")
    if second and _learned(before, second):
        if _learned(before, first):
            where = Where(path=net.path, line=loss.line, layer=loss.name, layer_type=loss.type)
            raise UnsupportedError([Finding(where, "compares two values that the net computes; neon compares with the data set's")])
        return second, first
    return first, second


def _learned(layers: Sequence[CaffeLayer], blob: str) -> bool:
    return any(layers[index].type in _LEARNABLE for index in _ancestors(layers, [blob]))


def _reads(layers: Sequence[CaffeLayer], loss: Loss, blob: str) -> bool:
    return any(layer.tops == (loss.output,) and blob in layer.bottoms for layer in layers)


def _leading_to(net: CaffeNet, layers: Sequence[CaffeLayer], outputs: Collection[str] | None) -> list[CaffeLayer]:
    """The layers that ``outputs`` need (None: all), and of the inputs the tops that are read."""
    if outputs is not None:
        made = {top for layer in layers for top in layer.tops}
        if missing := [name for name in outputs if name not in made]:
            raise GraphError(f"the net has no blob {missing[0]!r}", path=net.path, remedy="'caffe2neon inspect' lists them")
        needed = _ancestors(layers, outputs)
        layers = [layer for index, layer in enumerate(layers) if index in needed]
    read = {name for layer in layers for name in layer.bottoms} | set(outputs or ())
    return [layer if layer.type != "Input" else _read_tops(layer, read) for layer in layers]


def _read_tops(layer: CaffeLayer, read: Collection[str]) -> CaffeLayer:
    """An Input layer with those of its tops that anyone reads; as it is where nobody reads any."""
    wanted = [index for index, top in enumerate(layer.tops) if top in read]
    if len(wanted) in (0, len(layer.tops)):
        return layer
    result = LayerParameter()
    result.CopyFrom(layer.param)
    del result.top[:], result.input_param.shape[:]
    shapes = layer.param.input_param.shape
    for index in wanted:
        result.top.append(layer.tops[index])
        result.input_param.shape.append(shapes[index] if len(shapes) > 1 else shapes[0])
    return replace(layer, param=result)


def _ancestors(layers: Sequence[CaffeLayer], blobs: Collection[str]) -> set[int]:
    """Indices of all layers that the newest versions of ``blobs`` are computed by."""
    writers: dict[str, int] = {}
    depends: list[list[int]] = []
    for index, layer in enumerate(layers):
        depends.append([writers[name] for name in layer.bottoms if name in writers])
        writers.update((top, index) for top in layer.tops)
    found: set[int] = set()
    waiting = [writers[name] for name in blobs if name in writers]
    while waiting:
        index = waiting.pop()
        if index not in found:
            found.add(index)
            waiting += depends[index]
    return found
