"""V1 nets (2014): ``layers`` with enum types. See Caffe's upgrade_proto.cpp, ``UpgradeV1Net``, ``UpgradeNetDataTransformation``."""

from __future__ import annotations

from collections.abc import Sequence

from caffe2neon.caffe.caffe_pb2 import LayerParameter, V1LayerParameter
from caffe2neon.caffe.upgrade_v0 import V1Layer
from caffe2neon.records import CaffeLayer

_TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "ELTWISE": "Eltwise",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "SLICE": "Slice",
    "TANH": "TanH",
    "WINDOW_DATA": "WindowData",
    "THRESHOLD": "Threshold",
}

#: Where DATA, IMAGE_DATA and WINDOW_DATA kept what is now in transform_param.
_DATA_PARAMS = {
    V1LayerParameter.DATA: "data_param",
    V1LayerParameter.IMAGE_DATA: "image_data_param",
    V1LayerParameter.WINDOW_DATA: "window_data_param",
}
_MOVED = ("scale", "mean_file", "crop_size", "mirror")

#: Everything else a V1 layer has is copied: it has the same name and type in the new message. These are not.
_OTHERWISE = frozenset({"layer", "type", "param", "blob_share_mode", "blobs_lr", "weight_decay"})


def upgrade(layers: Sequence[V1Layer]) -> list[CaffeLayer]:
    """Layers in the new format for V1 layers, whose data layers are changed in place."""
    _move_transform_parameters([layer for layer, _ in layers])
    return [CaffeLayer(_upgrade_layer(layer), line) for layer, line in layers]


def _move_transform_parameters(layers: Sequence[V1LayerParameter]) -> None:
    """scale, mean_file, crop_size and mirror go to transform_param. Where one layer needs it, Caffe gives every data layer one."""
    sources = [(layer, getattr(layer, _DATA_PARAMS[layer.type])) for layer in layers if layer.type in _DATA_PARAMS]
    if not any(source.HasField(name) for _, source in sources for name in _MOVED):
        return
    for layer, source in sources:
        source.SetInParent()
        layer.transform_param.SetInParent()
        for name in _MOVED:
            if source.HasField(name):
                setattr(layer.transform_param, name, getattr(source, name))
                source.ClearField(name)


def _upgrade_layer(old: V1LayerParameter) -> LayerParameter:
    new = LayerParameter()
    for field, value in old.ListFields():
        if field.name in _OTHERWISE:
            continue
        if field.is_repeated:
            getattr(new, field.name).extend(value)
        elif field.message_type is not None:
            getattr(new, field.name).CopyFrom(value)
        else:
            setattr(new, field.name, value)
    if old.HasField("type"):
        new.type = _TYPES[V1LayerParameter.LayerType.Name(old.type)]
    for target, values in (
        ("name", old.param),
        ("share_mode", old.blob_share_mode),
        ("lr_mult", old.blobs_lr),
        ("decay_mult", old.weight_decay),
    ):
        for index, value in enumerate(values):
            while len(new.param) <= index:
                new.param.add()
            setattr(new.param[index], target, value)
    return new
