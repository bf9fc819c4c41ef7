"""From a training net to the net that computes: what people do by hand when they write a ``deploy.prototxt``.

A loss becomes the function within it (SoftmaxWithLoss: Softmax), Accuracy goes, and so does every layer that then leads to no
output; data layers become Input layers. A net that has nothing of all this stays as it is.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

from caffe2neon.caffe.caffe_pb2 import TEST, LayerParameter
from caffe2neon.caffe.data_layers import DATA_TYPES, data_rules, with_inputs
from caffe2neon.caffe.lineage import ancestors
from caffe2neon.caffe.losses import Judged, loss_rules, without_losses
from caffe2neon.errors import GraphError, UsageError
from caffe2neon.records import CaffeLayer, CaffeNet, LayerRule, Loss, Shape


def deploy_rules() -> dict[str, LayerRule]:
    """What :func:`deploy` makes of layer types, in words; it looks at no other."""
    return {rule.type: rule for rule in (*data_rules(), *loss_rules())}


def deploy(net: CaffeNet, *, shape: Shape | None = None, head: str = "", cut: str = "", train: bool = False) -> CaffeNet:
    """The net without data layers, losses and metrics.

    Args:
        shape: (C, H, W) of the first source of data, where the net does not say it; replaces what it says.
        head: keep one output: the name of its blob, of the blob its loss reads, of its loss or of that one's top. Left empty, a
            net with several losses keeps the one of the largest weight, of equal ones the last; a net without losses keeps all
            outputs.
        cut: end the net at this blob, inside it or not.
        train: keep every loss, as :class:`Loss` records.

    Raises:
        GraphError: a data layer whose shape nobody knows; a head or a blob that the net has not got.
        UnsupportedError: with ``train``, a loss that no neon cost equals.
        UsageError: with ``train``, a head that no loss judges; ``cut`` beside a head, or beside ``train``.
    """
    if cut and (head or train):
        other = "--head keeps an output behind it" if head else "--phase train needs the losses behind it"
        raise UsageError(f"--cut {cut} ends the net, but {other}", remedy="give one of the two")
    judged = without_losses(net, train=train)
    losses, notes = _chosen(judged, head, cut, train)
    outputs = [cut] if cut else [loss.output for loss in losses] or ([head] if head else [])
    layers = _leading_to(net, judged.layers, outputs)
    fed = with_inputs(net, layers, outputs, shape)
    result = replace(
        net,
        layers=fed.layers,
        losses=tuple(losses) if train else (),
        preprocess=fed.preprocess,
        notes=(*fed.notes, *judged.notes, *notes),
    )
    return result if result.layers != net.layers or result.losses or result.preprocess or result.notes else net


def at_inference(net: CaffeNet) -> CaffeNet:
    """A net of phase TRAIN as it computes once it is trained, which is how a model for neon is compared.

    Its layers are in phase TEST: Dropout changes nothing, and BatchNorm uses its stored statistics, as neon's do at inference.
    """
    if net.phase != "TRAIN":
        return net
    layers = []
    for layer in net.layers:
        param = LayerParameter()
        param.CopyFrom(layer.param)
        param.phase = TEST
        if param.type == "BatchNorm":
            param.batch_norm_param.ClearField("use_global_stats")
        layers.append(replace(layer, param=param))
    return replace(net, layers=tuple(layers), phase="TEST")


def _chosen(judged: Judged, head: str, cut: str, train: bool) -> tuple[list[Loss], list[str]]:
    """The losses that count, and notes on those that do not."""
    losses = list(judged.losses)
    if cut:
        return [], []
    if head:
        chosen = [loss for loss, names in zip(losses, judged.names, strict=True) if head in names]
        if train and not chosen:
            raise UsageError(f"no loss judges {head!r}, so nothing would train", remedy="name a loss, or leave --phase train out")
        return chosen[:1], []
    if train and not losses:
        return [], ["the net has no loss, so the model has no cost: to train it on, give one to Model.fit"]
    if train or not losses:
        return losses, []
    main = max(enumerate(losses), key=lambda pair: (pair[1].weight, pair[0]))[1]
    others = dict.fromkeys(loss.output for loss in losses if loss.output != main.output)
    return [main], [f"the output is {main.output!r}; --head keeps another: {', '.join(others)}"] if others else []


def _leading_to(net: CaffeNet, layers: Sequence[CaffeLayer], outputs: Sequence[str]) -> list[CaffeLayer]:
    """The layers that ``outputs`` need; where there are none, all but those that swallow labels."""
    if not outputs:
        data = {top for layer in layers if layer.type in DATA_TYPES for top in layer.tops}
        return [layer for layer in layers if layer.type != "Silence" or not data.issuperset(layer.bottoms)]
    made = {top for layer in layers for top in layer.tops}
    if missing := [name for name in outputs if name not in made]:
        near = difflib.get_close_matches(missing[0], made, n=3)
        remedy = f"did you mean {', '.join(map(repr, near))}?" if near else "blobs are named by the `top` of the layers"
        raise GraphError(f"the net has no blob {missing[0]!r}", path=net.path, remedy=remedy)
    needed = ancestors(layers, outputs)
    return [layer for index, layer in enumerate(layers) if index in needed]
