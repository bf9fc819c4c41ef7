"""V0 nets (2013): one flat message for all layers, inside V1's ``layer``. See Caffe's upgrade_proto.cpp, ``UpgradeV0Net``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from caffe2neon.caffe.caffe_pb2 import V0LayerParameter, V1LayerParameter
from caffe2neon.errors import ParseError

#: A layer and the line it begins at.
V1Layer: TypeAlias = tuple[V1LayerParameter, int]

_TYPES = {
    "accuracy": "ACCURACY",
    "bnll": "BNLL",
    "concat": "CONCAT",
    "conv": "CONVOLUTION",
    "data": "DATA",
    "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS",
    "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL",
    "images": "IMAGE_DATA",
    "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING",
    "relu": "RELU",
    "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX",
    "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT",
    "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}

_CONV, _IP, _POOL, _LRN = "convolution_param", "inner_product_param", "pooling_param", "lrn_param"
_DATA, _IMAGES, _WINDOW, _TRANSFORM = "data_param", "image_data_param", "window_data_param", "transform_param"
_ANY = ""

#: V0 field -> V0 layer type (or any) -> V1 message and field. What is not here, or belongs to another type, Caffe drops (it logs an
#: error and goes on), and so do we.
_FIELDS: dict[str, dict[str, tuple[str, str]]] = {
    "num_output": {"conv": (_CONV, "num_output"), "innerproduct": (_IP, "num_output")},
    "biasterm": {"conv": (_CONV, "bias_term"), "innerproduct": (_IP, "bias_term")},
    "weight_filler": {"conv": (_CONV, "weight_filler"), "innerproduct": (_IP, "weight_filler")},
    "bias_filler": {"conv": (_CONV, "bias_filler"), "innerproduct": (_IP, "bias_filler")},
    "pad": {"conv": (_CONV, "pad"), "pool": (_POOL, "pad")},
    "kernelsize": {"conv": (_CONV, "kernel_size"), "pool": (_POOL, "kernel_size")},
    "group": {"conv": (_CONV, "group")},
    "stride": {"conv": (_CONV, "stride"), "pool": (_POOL, "stride")},
    "pool": {"pool": (_POOL, "pool")},
    "dropout_ratio": {"dropout": ("dropout_param", "dropout_ratio")},
    "local_size": {"lrn": (_LRN, "local_size")},
    "alpha": {"lrn": (_LRN, "alpha")},
    "beta": {"lrn": (_LRN, "beta")},
    "k": {"lrn": (_LRN, "k")},
    "source": {
        "data": (_DATA, "source"),
        "hdf5_data": ("hdf5_data_param", "source"),
        "images": (_IMAGES, "source"),
        "window_data": (_WINDOW, "source"),
        "infogain_loss": ("infogain_loss_param", "source"),
    },
    "scale": {_ANY: (_TRANSFORM, "scale")},
    "meanfile": {_ANY: (_TRANSFORM, "mean_file")},
    "cropsize": {_ANY: (_TRANSFORM, "crop_size")},
    "mirror": {_ANY: (_TRANSFORM, "mirror")},
    "batchsize": {
        "data": (_DATA, "batch_size"),
        "hdf5_data": ("hdf5_data_param", "batch_size"),
        "images": (_IMAGES, "batch_size"),
        "window_data": (_WINDOW, "batch_size"),
    },
    "rand_skip": {"data": (_DATA, "rand_skip"), "images": (_IMAGES, "rand_skip")},
    "shuffle_images": {"images": (_IMAGES, "shuffle")},
    "new_height": {"images": (_IMAGES, "new_height")},
    "new_width": {"images": (_IMAGES, "new_width")},
    "concat_dim": {"concat": ("concat_param", "concat_dim")},
    "det_fg_threshold": {"window_data": (_WINDOW, "fg_threshold")},
    "det_bg_threshold": {"window_data": (_WINDOW, "bg_threshold")},
    "det_fg_fraction": {"window_data": (_WINDOW, "fg_fraction")},
    "det_context_pad": {"window_data": (_WINDOW, "context_pad")},
    "det_crop_mode": {"window_data": (_WINDOW, "crop_mode")},
}


def is_v0(layers: Sequence[V1Layer]) -> bool:
    return any(layer.HasField("layer") for layer, _ in layers)


def upgrade(layers: Sequence[V1Layer], inputs: Sequence[str]) -> list[V1Layer]:
    """V1 layers for V0 layers; ``inputs`` are the net's input blobs.

    Raises:
        ParseError: an unknown type, or a padding layer that is not read by one convolution or pooling alone.
    """
    return [(_upgrade_layer(layer, line), line) for layer, line in _without_padding(layers, inputs)]


def _without_padding(layers: Sequence[V1Layer], inputs: Sequence[str]) -> list[V1Layer]:
    """Padding layers go; the convolution or pooling that reads one gets its pad and its bottom."""
    producers: dict[str, V1LayerParameter | None] = dict.fromkeys(inputs)
    kept: list[V1Layer] = []
    for old, line in layers:
        layer = V1LayerParameter()
        layer.CopyFrom(old)
        for index, blob in enumerate(old.bottom):
            if blob not in producers:
                raise _error(old, line, f"unknown bottom blob {blob!r}")
            padding = producers[blob]
            if padding is None or padding.layer.type != "padding":
                continue
            if old.layer.type not in ("conv", "pool"):
                raise _error(old, line, "only a conv or pool layer can read a padding layer")
            if len(old.bottom) != 1:
                raise _error(old, line, "a layer that reads a padding layer has one bottom")
            if (len(padding.bottom), len(padding.top)) != (1, 1):
                raise _error(old, line, f"the padding layer {padding.layer.name!r} must have one bottom and one top")
            layer.layer.pad = padding.layer.pad
            layer.bottom[index] = padding.bottom[0]
        producers.update(dict.fromkeys(old.top, old))
        if old.layer.type != "padding":
            kept.append((layer, line))
    return kept


def _upgrade_layer(old: V1LayerParameter, line: int) -> V1LayerParameter:
    new = V1LayerParameter(bottom=old.bottom, top=old.top)
    v0: V0LayerParameter = old.layer
    if v0.HasField("name"):
        new.name = v0.name
    if v0.HasField("type"):
        if v0.type not in _TYPES:
            raise _error(old, line, f"unknown V0 layer type {v0.type!r}")
        new.type = getattr(V1LayerParameter, _TYPES[v0.type])
    for name in ("blobs", "blobs_lr", "weight_decay"):
        getattr(new, name).extend(getattr(v0, name))
    for field, value in v0.ListFields():
        targets = _FIELDS.get(field.name, {})
        target = targets.get(v0.type) or targets.get(_ANY)
        if target:
            _set(new, *target, value)
    if v0.HasField("hdf5_output_param") and v0.type == "hdf5_output":
        new.hdf5_output_param.CopyFrom(v0.hdf5_output_param)
    return new


def _set(layer: V1LayerParameter, message: str, field: str, value: object) -> None:
    parent = getattr(layer, message)
    descriptor = parent.DESCRIPTOR.fields_by_name[field]
    if descriptor.is_repeated:
        getattr(parent, field).append(value)
    elif descriptor.message_type is not None:
        getattr(parent, field).CopyFrom(value)
    else:
        setattr(parent, field, value)


def _error(layer: V1LayerParameter, line: int, message: str) -> ParseError:
    return ParseError(message, layer=layer.layer.name, layer_type=layer.layer.type, line=line)
