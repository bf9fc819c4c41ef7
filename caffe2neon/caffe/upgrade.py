"""A net of any age in Caffe's newest form. See Caffe HEAD's upgrade_proto.cpp, ``UpgradeNetAsNeeded``."""

from __future__ import annotations

from caffe2neon.caffe import upgrade_v0, upgrade_v1
from caffe2neon.caffe.caffe_pb2 import BlobShape, LayerParameter, NetParameter, NetState
from caffe2neon.caffe.text import ParsedNet
from caffe2neon.errors import ParseError
from caffe2neon.records import CaffeLayer

#: A BatchNorm layer that declares so many `param` is of the time when they had to be frozen by hand.
_OLD_BATCH_NORM_PARAMS = 3


def upgrade(parsed: ParsedNet) -> tuple[list[CaffeLayer], NetState]:
    """Upgraded layers, not yet filtered, and the net's own state. ``parsed`` is used up.

    Where an old net leaves something open, this is what Caffe does: a V0 net's ``state`` is dropped, ``input_shape`` counts before
    ``input_dim``, and ``input`` without either is dropped.

    Raises:
        ParseError: ``layer`` beside ``layers``, inputs without a shape of their own, and what :mod:`.upgrade_v0` refuses.
    """
    net = parsed.net
    if net.layer and net.layers:
        raise ParseError(
            "the net has both `layer` and `layers`, which Caffe refuses",
            remedy='write all of them in the new form: layer { type: "ReLU" ... } in place of layers { type: RELU ... }',
            line=max(_line(parsed, "layer"), _line(parsed, "layers")),
        )
    if net.layers:
        old = list(zip(net.layers, parsed.lines.get("layers") or [0] * len(net.layers), strict=True))
        if upgrade_v0.is_v0(old):
            old = upgrade_v0.upgrade(old, net.input)
            for name in ("state", "input_shape", "debug_info"):
                net.ClearField(name)
        layers = upgrade_v1.upgrade(old)
    else:
        layers = [
            CaffeLayer(*item) for item in zip(net.layer, parsed.lines.get("layer") or [0] * len(net.layer), strict=True)
        ]
    layers = _input_layer(net, _line(parsed, "input")) + layers
    for layer in layers:
        if layer.type == "BatchNorm" and len(layer.param.param) == _OLD_BATCH_NORM_PARAMS:
            for param in layer.param.param:
                param.lr_mult = param.decay_mult = 0
    return layers, net.state


def _input_layer(net: NetParameter, line: int) -> list[CaffeLayer]:
    """One Input layer, to go first, for the old `input` fields."""
    if not net.input or not (net.input_shape or net.input_dim):
        return []
    if net.input_shape:
        shapes = list(net.input_shape)
    else:
        shapes = [BlobShape(dim=net.input_dim[at : at + 4]) for at in range(0, len(net.input_dim) // 4 * 4, 4)]
    count = len(net.input)
    if len(shapes) < count:
        raise ParseError(
            f"{count} `input` but shapes for {len(shapes)} only",
            remedy="give each input an input_shape { dim ... }, or four input_dim",
            line=line,
        )
    layer = LayerParameter(name="input", type="Input", top=net.input)
    layer.input_param.shape.extend(shapes[:count])
    return [CaffeLayer(layer, line)]


def _line(parsed: ParsedNet, name: str) -> int:
    return next(iter(parsed.lines.get(name, ())), 0)
