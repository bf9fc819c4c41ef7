"""Losses: the function within each, which a model that computes ends in, and the neon cost that equals it, for training."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from caffe2neon.caffe.caffe_pb2 import LayerParameter
from caffe2neon.caffe.lineage import ancestors
from caffe2neon.errors import Finding, GraphError, UnsupportedError, Where
from caffe2neon.records import CaffeLayer, CaffeNet, LayerRule, Loss, shortest


@dataclass(frozen=True)
class LossType:
    """``function``: the layer type within the loss, "" for none. ``cost``: the neon cost that equals it, "" for none.

    ``symmetric``: either bottom may be the prediction. ``per_value``: VALID and FULL divide by every value, not by the examples.
    """

    function: str = ""
    cost: str = ""
    symmetric: bool = False
    per_value: bool = False


LOSS_TYPES: Mapping[str, LossType] = {
    "SoftmaxWithLoss": LossType("Softmax", "CrossEntropyMulti"),
    "SigmoidCrossEntropyLoss": LossType("Sigmoid", "CrossEntropyBinary", per_value=True),
    "EuclideanLoss": LossType("", "SumSquared", symmetric=True),
    "HingeLoss": LossType(),
    "InfogainLoss": LossType("Softmax"),
    "MultinomialLogisticLoss": LossType(),
    "ContrastiveLoss": LossType(symmetric=True),
}
_LEARNABLE = frozenset(
    ("BatchNorm", "Bias", "Convolution", "Deconvolution", "Embed", "InnerProduct", "LSTM", "PReLU", "Parameter", "RNN", "Scale")
)
_NO_COST = "neon has no cost that equals this loss"


def loss_rules() -> list[LayerRule]:
    """What becomes of losses and metrics."""
    rules = [LayerRule("Accuracy", "nothing: a metric is no part of the model")]
    for name, loss in LOSS_TYPES.items():
        output = f"the {loss.function} within it" if loss.function else "nothing: the output is what it reads"
        if loss.cost == "SumSquared":
            condition = "to train: `loss_weight` 1"
        elif loss.cost:
            condition = "to train: no `ignore_label`, divided by the batch size"
        else:
            condition = "not with `--phase train`"
        becomes = f"{output}; with `--phase train` the cost {loss.cost}, too" if loss.cost else output
        rules.append(LayerRule(name, becomes, condition, "" if loss.cost else _NO_COST))
    return rules


@dataclass(frozen=True)
class Judged:
    """A net without its losses. ``names[i]`` are all names that mean ``losses[i]``: its own, its tops', and of what it judges."""

    layers: tuple[CaffeLayer, ...]
    losses: tuple[Loss, ...]
    names: tuple[frozenset[str], ...]
    notes: tuple[str, ...]


def without_losses(net: CaffeNet, *, train: bool) -> Judged:
    """Losses as the functions within them; Accuracy goes, and so does a loss of weight 0, which is a metric.

    Raises:
        UnsupportedError: with ``train``, losses that no neon cost equals, all of them.
        GraphError: a loss with two tops, which Caffe documents and refuses.
    """
    kept: list[CaffeLayer] = []
    losses: list[Loss] = []
    names: list[frozenset[str]] = []
    notes: list[str] = []
    findings: list[Finding] = []
    taken = {name for layer in net.layers for name in (layer.name, *layer.tops)}
    count = sum(layer.type in LOSS_TYPES and _weight(layer) != 0 for layer in net.layers)
    for index, layer in enumerate(net.layers):
        rule = LOSS_TYPES.get(layer.type)
        if layer.type == "Accuracy" or (rule and _weight(layer) == 0):
            continue
        if rule is None:
            kept.append(layer)
            if any(layer.param.loss_weight):
                findings.append(_finding(net, layer, "counts as a loss itself (loss_weight), which neon's layers cannot"))
            continue
        _refuse_second_top(net, layer)
        before = net.layers[:index]
        prediction, target = _sides(before, layer, rule)
        output = prediction
        if rule.function:
            existing = _existing([*kept, *net.layers[index:]], layer, rule.function, prediction)
            output = existing or _free_name(prediction, rule.function, taken, alone=count == 1)
            taken.add(output)
            if not existing:
                kept.append(CaffeLayer(_function(layer.param, rule.function, prediction, output), layer.line))
        if reason := _no_cost(layer, rule) or _two_sides(before, target):
            findings.append(_finding(net, layer, reason))
        elif train and any(target in other.tops and other.bottoms for other in before):
            notes.append(f"{layer.name}: compares with {target!r}, which the net computes of its data: give that as the target")
        losses.append(Loss(layer.name, output, rule.cost, _weight(layer), target))
        names.append(frozenset((layer.name, *layer.tops, prediction, output)))
    if train and findings:
        raise UnsupportedError(findings)
    return Judged(tuple(kept), tuple(losses), tuple(names), tuple(notes))


def _refuse_second_top(net: CaffeNet, layer: CaffeLayer) -> None:
    if len(layer.tops) > 1 or len(layer.param.loss_weight) > 1:
        where = Where(path=net.path, line=layer.line, layer=layer.name, layer_type=layer.type)
        raise GraphError("has two tops: Caffe's check of loss_weight refuses the second", where=where)


def _weight(layer: CaffeLayer) -> float:
    return shortest(layer.param.loss_weight[0]) if layer.param.loss_weight else 1.0


def _sides(before: Sequence[CaffeLayer], loss: CaffeLayer, rule: LossType) -> tuple[str, str]:
    """Which bottom of a loss is the prediction, and which it is compared with."""
    first, second, *_ = (*loss.bottoms, "", "")
    if rule.symmetric and _learned(before, second) and not _learned(before, first):
        return second, first
    return first, second


def _learned(layers: Sequence[CaffeLayer], blob: str) -> bool:
    return any(layers[index].type in _LEARNABLE for index in ancestors(layers, [blob]))


def _existing(layers: Sequence[CaffeLayer], loss: CaffeLayer, function: str, prediction: str) -> str:
    """The blob that the function of ``prediction`` is in already; "" where no layer computes it.

    A layer that works in place does not count: Caffe lets it overwrite ``prediction`` only where the loss reads what it made.
    """
    for layer in layers:
        same_axis = layer.param.softmax_param.axis == loss.param.softmax_param.axis
        if layer.type == function and layer.bottoms == (prediction,) != layer.tops and same_axis:
            return layer.tops[0]
    return ""


def _free_name(prediction: str, function: str, taken: Collection[str], *, alone: bool) -> str:
    names = ["prob"] if alone else []
    names += [f"{prediction}/prob", f"{prediction}/{function.lower()}"]
    name = next((name for name in names if name not in taken), names[-1])
    while name in taken:
        name += "_"
    return name


def _function(loss: LayerParameter, kind: str, bottom: str, top: str) -> LayerParameter:
    result = LayerParameter(name=top, type=kind, bottom=[bottom], top=[top], phase=loss.phase)
    if kind == "Softmax" and loss.HasField("softmax_param"):
        result.softmax_param.CopyFrom(loss.softmax_param)
    return result


def _no_cost(layer: CaffeLayer, rule: LossType) -> str:
    """Why no neon cost equals this loss; "" where one does. neon's costs sum over an example and take the mean of the batch."""
    loss, weight = layer.param.loss_param, _weight(layer)
    if not rule.cost:
        return _NO_COST
    if loss.HasField("ignore_label"):
        return "ignores a label, which neon's costs cannot"
    if rule.cost == "SumSquared":
        # Caffe's EuclideanLoss does not look at loss_param
        return f"has a weight of {weight:g}, which neon's SumSquared does not take" if weight != 1 else ""
    if loss.HasField("normalization") and loss.normalization == loss.NONE:
        return "is not divided by the batch size; neon's costs are"
    whole = loss.normalization != loss.BATCH_SIZE if loss.HasField("normalization") else loss.normalize
    if rule.per_value and whole:
        return "is divided by the number of all values; neon's costs are divided by the batch size"
    return ""


def _two_sides(before: Sequence[CaffeLayer], target: str) -> str:
    return "compares two values that the net computes; neon compares with the data set's" if _learned(before, target) else ""


def _finding(net: CaffeNet, layer: CaffeLayer, reason: str) -> Finding:
    return Finding(Where(path=net.path, line=layer.line, layer=layer.name, layer_type=layer.type), reason)
