"""A net in Caffe's newest form as an older Caffe can read it, or the reasons why it cannot.

What is known of that Caffe is its own word: its layer types and its caffe.proto.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.message import Message

from caffe2neon.caffe.caffe_pb2 import LayerParameter, NetParameter
from caffe2neon.errors import EngineError, located
from caffe2neon.records import Array, Blob, CaffeNet, CaffeWeights, Shape

#: Per channel: a factor, an offset.
_AFFINE = ("BatchNorm", "Bias", "Scale")


@dataclass(frozen=True)
class Dialect:
    """What one Caffe knows. ``fields``: names by message, as in ``caffe.PoolingParameter``."""

    version: str
    layer_types: frozenset[str]
    fields: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, version: str, layer_types: Sequence[str], schema: bytes) -> Dialect:
        """``schema`` is a serialized FileDescriptorProto.

        Raises:
            google.protobuf.message.DecodeError: it is none.
        """
        file = FileDescriptorProto.FromString(schema)
        fields: dict[str, frozenset[str]] = {}

        def visit(message: DescriptorProto, scope: str) -> None:
            fields[f"{scope}.{message.name}"] = frozenset(entry.name for entry in message.field)
            for nested in message.nested_type:
                visit(nested, f"{scope}.{message.name}")

        for message in file.message_type:
            visit(message, file.package)
        return cls(version, frozenset(layer_types), fields)


@dataclass(frozen=True)
class Lowered:
    """A net for one Caffe.

    ``layers`` are its layers' names in order, without inputs. ``inputs`` are whole shapes by blob. ``versions`` says of every blob
    version, by key and in the net's order, after which layer (by number, -1 for inputs) it is to be read, and under which name.
    ``outputs`` are the keys nobody reads. ``params`` are weights of layers that stand for others, whose caffemodel does not fit;
    ``replaced`` are the types of those others.
    """

    text: str
    layers: tuple[str, ...]
    inputs: Mapping[str, Shape]
    versions: Mapping[str, tuple[int, str]]
    outputs: tuple[str, ...]
    params: Mapping[str, tuple[Array, ...]]
    replaced: tuple[str, ...]


def lower(net: CaffeNet, weights: CaffeWeights, dialect: Dialect, batch: int | None) -> Lowered:
    """Write ``net`` as ``dialect`` has it: inputs as fields, Scale, Bias and BatchNorm as convolutions with a group a channel.

    A Caffe without Scale is of the time when the second blob of BatchNorm held E[x²], where today's files have the variance.

    Raises:
        EngineError: a layer or a field which that Caffe does not know, and that has no older form; an input without a shape.
    """
    lowering = _Lowering(weights, dialect, batch, NetParameter(name=net.name))
    for layer in net.layers:
        with located(path=net.path, line=layer.line, layer=layer.name, layer_type=layer.type):
            lowering.add(layer.param)
    return lowering.result()


@dataclass
class _Lowering:
    weights: CaffeWeights
    dialect: Dialect
    batch: int | None
    net: NetParameter
    inputs: dict[str, Shape] = field(default_factory=dict)
    newest: dict[str, Blob] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    versions: dict[str, tuple[int, str]] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    params: dict[str, tuple[Array, ...]] = field(default_factory=dict)
    replaced: set[str] = field(default_factory=set)

    def add(self, layer: LayerParameter) -> None:
        if layer.type == "Input":
            self._input(layer)
            return
        self.read.update(self.newest[name].key for name in layer.bottom if name in self.newest)
        if layer.type in _AFFINE and "Scale" not in self.dialect.layer_types and not _of_batch(layer):
            self._affine(layer)
        else:
            self._plain(layer)
        for name in layer.top:
            self._version(name, len(self.net.layer) - 1)

    def result(self) -> Lowered:
        return Lowered(
            text=text_format.MessageToString(self.net, as_utf8=True),
            layers=tuple(layer.name for layer in self.net.layer),
            inputs=self.inputs,
            versions=self.versions,
            outputs=tuple(key for key in self.versions if key not in self.read),
            params=self.params,
            replaced=tuple(sorted(self.replaced)),
        )

    def _input(self, layer: LayerParameter) -> None:
        shapes = [tuple(int(size) for size in shape.dim) for shape in layer.input_param.shape]
        if len(shapes) not in (1, len(layer.top)):
            raise EngineError("the net does not say the shapes of its inputs")
        for name, shape in zip(layer.top, shapes * len(layer.top), strict=False):
            if self.batch is not None and shape:
                shape = (self.batch, *shape[1:])
            self.inputs[name] = shape
            self.net.input.append(name)
            self.net.input_shape.add(dim=shape)
            self._version(name, -1)

    def _version(self, name: str, number: int) -> None:
        before = self.newest.get(name)
        self.newest[name] = blob = Blob(name, before.version + 1 if before else 0, ())
        self.versions[blob.key] = (number, self.renamed.get(name, name))

    def _plain(self, layer: LayerParameter) -> None:
        written = LayerParameter.FromString(layer.SerializeToString())
        for rule in ("include", "exclude"):  # they have been applied
            written.ClearField(rule)
        if layer.type not in self.dialect.layer_types:
            raise self._unknown(f"layer type {layer.type!r}")
        _forget(written, self._fields, self._unknown)
        written.bottom[:] = [self.renamed.get(name, name) for name in layer.bottom]
        for name in layer.top:
            if name not in layer.bottom:
                self.renamed.pop(name, None)
        written.top[:] = [self.renamed.get(name, name) for name in layer.top]
        self.net.layer.append(written)

    def _affine(self, layer: LayerParameter) -> None:
        """Tops get fresh names: in place, a convolution would read what it overwrites."""
        blobs = tuple(np.asarray(blob, np.float32).reshape(-1) for blob in self.weights.blobs.get(layer.name, ()))
        steps = _steps(layer, blobs) if len(layer.bottom) == 1 else None
        if steps is None:
            raise self._unknown(f"layer type {layer.type!r} as it is used here")
        source = self.renamed.get(layer.bottom[0], layer.bottom[0])
        for number, (factor, offset) in enumerate(steps):
            name = f"{layer.name}#{layer.type}{number or ''}"
            top = f"{layer.top[0]}#{name}"
            written = self.net.layer.add(name=name, type="Convolution", bottom=[source], top=[top])
            convolution = written.convolution_param
            convolution.num_output = convolution.group = len(factor)
            convolution.kernel_size.append(1)
            convolution.bias_term = offset is not None
            self.params[name] = (factor,) if offset is None else (factor, offset)
            source = top
        self.renamed[layer.top[0]] = source
        self.replaced.add(layer.type)

    def _fields(self, message: Message) -> frozenset[str]:
        return self.dialect.fields.get(message.DESCRIPTOR.full_name, frozenset())

    def _unknown(self, what: str) -> EngineError:
        return EngineError(f"real Caffe {self.dialect.version} does not know the {what}")


def _of_batch(layer: LayerParameter) -> bool:
    """BatchNorm by the batch's own statistics, which every Caffe computes alike."""
    param = layer.batch_norm_param
    return layer.type == "BatchNorm" and param.HasField("use_global_stats") and not param.use_global_stats


def _steps(layer: LayerParameter, blobs: Sequence[Array]) -> list[tuple[Array, Array | None]] | None:
    """What multiplies each channel, and what is then added, step by step in Caffe's order; None where it is something else.

    Source: batch_norm_layer.cpp, scale_layer.cpp, bias_layer.cpp of Caffe HEAD.
    """
    if layer.type == "BatchNorm":
        if len(blobs) != 3:
            return None
        scale = np.float32(0 if blobs[2][0] == 0 else 1 / blobs[2][0])
        std = np.sqrt(blobs[1] * scale + np.float32(layer.batch_norm_param.eps))
        return [(np.ones_like(std), -blobs[0] * scale), ((1 / std).astype(np.float32), None)]
    place = layer.scale_param if layer.type == "Scale" else layer.bias_param
    if not blobs or place.axis != 1 or place.num_axes != 1:
        return None
    if layer.type == "Bias":
        return [(np.ones_like(blobs[0]), blobs[0])]
    return [(blobs[0], blobs[1] if len(blobs) > 1 else None)]


def _forget(message: Message, fields: Callable[[Message], frozenset[str]], unknown: Callable[[str], EngineError]) -> None:
    """Take out of ``message`` what an older Caffe has no field for, where it says no more than the default does.

    Raises:
        EngineError: it says more.
    """
    known = fields(message)
    for entry, value in message.ListFields():
        if entry.name not in known:
            if entry.is_repeated or entry.message_type is not None or value != entry.default_value:
                raise unknown(f"field {message.DESCRIPTOR.name}.{entry.name}")
            message.ClearField(entry.name)
        elif entry.message_type is not None:
            for child in value if entry.is_repeated else [value]:
                _forget(child, fields, unknown)
