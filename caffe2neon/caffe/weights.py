"""A caffemodel's blobs, found in the mapped file.

Numbers are nearly all of such a file. So it is mapped, its structure is scanned in place (:mod:`caffe2neon.wire`),
and a blob's numbers become an array that is a view of the map: opening costs no more for a large model than for a small one.
"""

from __future__ import annotations

import math
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np

from caffe2neon import wire
from caffe2neon.caffe import caffe_pb2, source
from caffe2neon.errors import ParseError, WeightsError, located
from caffe2neon.records import Array, CaffeNet, CaffeWeights, Shape

_LAYER, _LAYERS = wire.numbers(caffe_pb2.NetParameter, "layer", "layers")
_NAME, _BLOBS = wire.numbers(caffe_pb2.LayerParameter, "name", "blobs")
_V1_NAME, _V1_BLOBS, _V0_LAYER = wire.numbers(caffe_pb2.V1LayerParameter, "name", "blobs", "layer")
_V0_NAME, _V0_BLOBS = wire.numbers(caffe_pb2.V0LayerParameter, "name", "blobs")
_LEGACY = wire.numbers(caffe_pb2.BlobProto, "num", "channels", "height", "width")
_SHAPE, _DATA, _DOUBLE_DATA, _DIFF, _DOUBLE_DIFF = wire.numbers(
    caffe_pb2.BlobProto, "shape", "data", "double_data", "diff", "double_diff"
)
(_DIM,) = wire.numbers(caffe_pb2.BlobShape, "dim")

_FLOAT: np.dtype[Any] = np.dtype("<f4")
_DOUBLE: np.dtype[Any] = np.dtype("<f8")
_DTYPES = {_DATA: _FLOAT, _DIFF: _FLOAT, _DOUBLE_DATA: _DOUBLE, _DOUBLE_DIFF: _DOUBLE}
#: Caffe's kMaxBlobAxes, and the largest count of a blob (it is an int).
_MAX_AXES, _MAX_COUNT = 32, 2**31 - 1
#: Of single precision, in which Caffe and neon compute.
_LARGEST = float(np.finfo(np.float32).max)
_NOT_WEIGHTS = "give the .caffemodel that training wrote (.solverstate and mean .binaryproto files are something else)"


def read_weights(path: Path) -> CaffeWeights:
    """The blobs of a caffemodel of any version (V0, V1, new), by layer name, in the order of the file.

    As in Caffe: of two layers with one name the later counts; ``double_data`` counts before ``data``; gradients are ignored; layers
    without blobs are there, with none. Shapes are as the file has them: ``shape``, or the legacy (num, channels, height, width).

    Returns:
        float32 arrays (float64 for ``double_data``), read-only, and not always aligned: views of the mapped file, but copies where
        the file has a blob in pieces. They keep the map alive; the file must not be changed meanwhile.

    Raises:
        ParseError: the file cannot be read, is something else, or is damaged; with layer and blob where one of them is at fault.
    """
    path = Path(path)
    with located(path=str(path)):
        buffer = source.map_file(path)
        _refuse_other_files(buffer[: source.HEAD])
        return CaffeWeights(_scan(buffer, len(buffer)), str(path), len(buffer))


def _refuse_other_files(head: bytes) -> None:
    kind, remedy = source.foreign(head)
    if kind:
        raise ParseError(f"this is {kind}, not a caffemodel", remedy=remedy)
    if source.is_text(head):
        raise ParseError("this is text, not a caffemodel", remedy="the net definition comes first, the .caffemodel second")


def _scan(buffer: mmap, size: int) -> dict[str, tuple[Array, ...]]:
    found: dict[int, list[wire.Field]] = {_LAYER: [], _LAYERS: []}
    for field in wire.fields(buffer, 0, size):
        if field.wire == wire.LENGTH and field.number in found:
            found[field.number].append(field)
    if all(found.values()):
        raise ParseError("the file has both `layer` and `layers`, which Caffe refuses", remedy=_NOT_WEIGHTS)
    if not any(found.values()):
        raise ParseError("no layer is in this file", remedy=_NOT_WEIGHTS)
    layers = [_layer(buffer, [field], _NAME, _BLOBS) for field in found[_LAYER]]
    if found[_LAYERS]:
        inner = [_parts(buffer, [field], _V0_LAYER) for field in found[_LAYERS]]
        # One V0 layer makes a V0 file: Caffe then looks for names and blobs inside `layer` only.
        if any(inner):
            layers = [_layer(buffer, fields, _V0_NAME, _V0_BLOBS) for fields in inner]
        else:
            layers = [_layer(buffer, [field], _V1_NAME, _V1_BLOBS) for field in found[_LAYERS]]
    return {name: tuple(_blob(buffer, name, *item) for item in enumerate(blobs)) for name, blobs in layers}


def _parts(buffer: mmap, parents: list[wire.Field], *wanted: int) -> list[wire.Field]:
    """The strings and messages of those numbers in all of ``parents``, which protobuf reads as one message."""
    return [
        field
        for parent in parents
        for field in wire.fields(buffer, parent.start, parent.stop)
        if field.number in wanted and field.wire == wire.LENGTH
    ]


def _layer(buffer: mmap, messages: list[wire.Field], name: int, blobs: int) -> tuple[str, list[wire.Field]]:
    parts = _parts(buffer, messages, name, blobs)
    names = [buffer[part.start : part.stop] for part in parts if part.number == name]
    return (names[-1] if names else b"").decode("utf-8", "backslashreplace"), [part for part in parts if part.number == blobs]


def _blob(buffer: mmap, layer: str, index: int, message: wire.Field) -> Array:
    try:
        shape, data = _read_blob(buffer, message)
        if len(shape) > _MAX_AXES or min(shape, default=0) < 0 or math.prod(shape) > _MAX_COUNT:
            raise ParseError(f"{_text(shape)} is no shape that Caffe can have", remedy="the file is damaged: download it again")
        if math.prod(shape) != len(data):
            raise ParseError(
                f"the shape {_text(shape)} needs {math.prod(shape):,} numbers, but {len(data):,} are there",
                remedy="the file is damaged, or was not written by Caffe: download it again",
            )
        data.flags.writeable = False  # copies, too: all blobs behave alike
        return data.reshape(shape)
    except ParseError as error:
        raise ParseError(f"blob {index}: {error.message}", remedy=error.remedy, layer=layer) from error


def require_finite(net: CaffeNet, weights: CaffeWeights) -> None:
    """Refuse numbers of the net's layers that are none: whatever is computed of them says nothing, and compares with nothing.

    Raises:
        WeightsError: a number is NaN or infinite, or a double beyond what single precision holds.
    """
    for layer in net.layers:
        for index, blob in enumerate(weights.blobs.get(layer.name, ())):
            # NaN is its own minimum and compares with nothing; a mask of a large blob would be a quarter of it again
            if blob.size and not (blob.min() >= -_LARGEST and blob.max() <= _LARGEST):
                raise WeightsError(
                    f"blob {index} has numbers that are NaN or infinite",
                    path=weights.path,
                    layer=layer.name,
                    layer_type=layer.type,
                    remedy="the training diverged, or the file is damaged: take another snapshot, or download it again",
                )


def _read_blob(buffer: mmap, message: wire.Field) -> tuple[Shape, Array]:
    """Shape and numbers of a BlobProto, not yet compared."""
    legacy, dims = dict.fromkeys(_LEGACY, 0), list[int]()
    has_legacy = False
    pieces: dict[int, list[Array]] = {number: [] for number in _DTYPES}
    at = message.start
    while at < message.stop:
        field = wire.field_at(buffer, at, message.stop)
        at = field.stop
        if field.number in _DTYPES:
            dtype = _DTYPES[field.number]
            if field.wire == wire.LENGTH:
                pieces[field.number].append(wire.packed(buffer, field, dtype))
            elif field.wire == (wire.FIXED32 if dtype is _FLOAT else wire.FIXED64):
                values, at = wire.unpacked(buffer, field, message.stop, dtype)
                pieces[field.number].append(values)
        elif field.number == _SHAPE and field.wire == wire.LENGTH:
            dims += _dims(buffer, field)
        elif field.number in legacy and field.wire == wire.VARINT:
            legacy[field.number], has_legacy = wire.signed(field.value, 32), True
    data = [piece for piece in pieces[_DOUBLE_DATA] if piece.size] or [piece for piece in pieces[_DATA] if piece.size]
    joined = data[0] if len(data) == 1 else np.concatenate(data or [np.empty(0, np.float32)])
    return tuple(legacy.values() if has_legacy else dims), joined


def _dims(buffer: mmap, message: wire.Field) -> list[int]:
    """BlobShape's ``dim``, packed or not."""
    dims = []
    for field in wire.fields(buffer, message.start, message.stop):
        if field.number == _DIM and field.wire == wire.LENGTH:
            dims += wire.varints(buffer, field.start, field.stop)
        elif field.number == _DIM and field.wire == wire.VARINT:
            dims.append(field.value)
    return [wire.signed(dim, 64) for dim in dims]


def _text(shape: Shape) -> str:
    return "×".join(str(dim) for dim in shape[:8]) + ("×…" if len(shape) > 8 else "") if shape else "()"
