"""A net definition or a caffemodel of any age, written in Caffe's newest format, as Caffe's upgrade tools write it.

A caffemodel's numbers are never read. Its structure goes through the same upgrade as a text's, each blob as a small stand-in that
says where in the mapped file the blob's bytes lie; they are copied from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path

from google.protobuf.message import DecodeError

from caffe2neon import wire
from caffe2neon.caffe import caffe_pb2, source
from caffe2neon.caffe.caffe_pb2 import BlobProto, BlobShape, LayerParameter, NetParameter
from caffe2neon.caffe.text import ParsedNet, parse_net
from caffe2neon.caffe.upgrade import upgrade
from caffe2neon.errors import ParseError, located
from caffe2neon.files import BLOCK, atomic_write

_LAYER, _LAYERS = wire.numbers(NetParameter, "layer", "layers")
_BLOBS, _V1_BLOBS, _V0_BLOBS = (
    wire.numbers(message, "blobs")[0] for message in (LayerParameter, caffe_pb2.V1LayerParameter, caffe_pb2.V0LayerParameter)
)
(_V0_LAYER,) = wire.numbers(caffe_pb2.V1LayerParameter, "layer")
#: A net's structure, without blobs, is not larger than this, or it is no net.
_MAX_STRUCTURE = 16 << 20


@dataclass(frozen=True)
class Upgraded:
    """What a file was. ``kind``: prototxt or caffemodel. ``format``: V0, V1, what else was old, or "newest": then it was copied.

    ``layers`` is the number of layers in the new file.
    """

    kind: str
    format: str
    layers: int


def upgrade_file(path: Path, output: Path) -> Upgraded:
    """Write ``path`` to ``output`` in Caffe's newest format, all layers kept, of every phase. What the file is, its content says.

    As Caffe's tools do: V0 and V1 layers, old input fields, old transformation parameters and BatchNorm's three frozen parameters
    are written in the new form; blobs keep their bytes, legacy dimensions and ``double_data`` included, which every Caffe reads. A
    file that is in the newest format already is copied, a prototxt with its comments.

    Raises:
        ParseError: the file cannot be read, is something else, is damaged, or cannot be upgraded.
        PublishError: ``output`` cannot be written.
    """
    path = Path(path)
    with located(path=str(path)):
        buffer = source.map_file(path)
        head = buffer[: source.HEAD]
        kind, remedy = source.foreign(head)
        if kind:
            raise ParseError(f"this is {kind}, not a net of Caffe's", remedy=remedy)
        if _is_text(head):
            return _upgrade_text(buffer, path, output)
        return _upgrade_binary(buffer, output)


def _is_text(head: bytes) -> bool:
    """A stray control character does not make a text binary; a binary net has one at every few bytes."""
    return head.startswith((b"\xff\xfe", b"\xfe\xff")) or len(head.translate(None, source.CONTROL)) * 100 >= len(head) * 99


def _upgrade_text(buffer: mmap, path: Path, output: Path) -> Upgraded:
    from google.protobuf import text_format

    if len(buffer) > _MAX_STRUCTURE:
        raise ParseError(f"{len(buffer):,} bytes of text are too many for a net definition", remedy="name another file")
    result, before = _upgraded(parse_net(buffer[:], str(path)))
    with atomic_write(output) as stream:
        stream.write(buffer[:] if before == _NEWEST else text_format.MessageToString(result, as_utf8=True).encode())
    return Upgraded("prototxt", before, len(result.layer))


def _upgrade_binary(buffer: mmap, output: Path) -> Upgraded:
    result, before = _upgraded(ParsedNet(_structure(buffer)))
    with atomic_write(output) as stream:
        for chunk in _chunks(buffer, 0, len(buffer)) if before == _NEWEST else _binary(buffer, result):
            stream.write(chunk)
    return Upgraded("caffemodel", before, len(result.layer))


_NEWEST = "newest"


def _upgraded(parsed: ParsedNet) -> tuple[NetParameter, str]:
    """The net in the newest format, and which one it was in. See ``UpgradeNetAsNeeded``: everything beside the layers stays."""
    net = parsed.net
    before = NetParameter()
    before.CopyFrom(net)
    layers = [layer.param for layer in upgrade(parsed)[0]]
    if not layers:
        raise ParseError("no layer is in this file", remedy="give a net definition or a caffemodel")
    result = NetParameter()
    result.CopyFrom(net)
    del result.layer[:], result.layers[:]
    if net.input:
        del result.input[:], result.input_shape[:], result.input_dim[:]
    result.layer.extend(layers)
    if any(layer.HasField("layer") for layer in before.layers):
        return result, "V0"
    if before.layers:
        return result, "V1"
    return result, _NEWEST if result == before else "old inputs" if before.input else "old BatchNorm parameters"


def _structure(buffer: mmap) -> NetParameter:
    """A binary net with a stand-in for each blob, whose shape is the place of the blob's bytes: (start, stop).

    Raises:
        ParseError: the file is damaged, or no net of Caffe's.
    """
    pieces = b"".join(_without_blobs(buffer))
    try:
        return NetParameter.FromString(pieces)
    except DecodeError as error:
        raise ParseError("this is neither text nor a binary net of Caffe's", remedy="give a .prototxt or .caffemodel") from error


def _without_blobs(buffer: mmap) -> Iterator[bytes]:
    size = 0
    for field in wire.fields(buffer, 0, len(buffer)):
        if field.number in (_LAYER, _LAYERS) and field.wire == wire.LENGTH:
            content = b"".join(_layer_parts(buffer, field, _BLOBS if field.number == _LAYER else _V1_BLOBS))
            piece = wire.field(field.number, content)
        else:
            piece = buffer[field.first : min(field.stop, field.first + _MAX_STRUCTURE)]
        size += len(piece)
        if size >= _MAX_STRUCTURE:
            raise ParseError("the net's structure alone is too large for a net of Caffe's", remedy="name another file")
        yield piece


def _layer_parts(buffer: mmap, layer: wire.Field, blobs: int) -> Iterator[bytes]:
    """A layer's fields; its blobs, and those of a V0 layer within it, as stand-ins."""
    for field in wire.fields(buffer, layer.start, layer.stop):
        if field.wire != wire.LENGTH:
            yield buffer[field.first : field.stop]
        elif field.number == blobs:
            place = BlobProto(shape=BlobShape(dim=(field.start, field.stop)))
            yield wire.field(blobs, place.SerializeToString())
        elif field.number == _V0_LAYER and blobs == _V1_BLOBS:
            yield wire.field(_V0_LAYER, b"".join(_layer_parts(buffer, field, _V0_BLOBS)))
        else:
            yield buffer[field.first : min(field.stop, field.first + _MAX_STRUCTURE)]


def _binary(buffer: mmap, net: NetParameter) -> Iterator[bytes]:
    """The bytes that protobuf would write for ``net`` with its blobs in place: fields in the order of their numbers."""
    rest = NetParameter()
    rest.CopyFrom(net)
    del rest.layer[:]
    # `layer` has the highest number of a net's fields
    yield rest.SerializeToString(deterministic=True)
    for layer in net.layer:
        places = [tuple(blob.shape.dim) for blob in layer.blobs]
        del layer.blobs[:]
        text = layer.SerializeToString(deterministic=True)
        behind = next((field.first for field in wire.fields(text, 0, len(text)) if field.number > _BLOBS), len(text))
        heads = [wire.head(_BLOBS, stop - start) for start, stop in places]
        total = len(text) + sum(map(len, heads)) + sum(stop - start for start, stop in places)
        yield wire.head(_LAYER, total) + text[:behind]
        for head, (start, stop) in zip(heads, places, strict=True):
            yield head
            yield from _chunks(buffer, start, stop)
        yield text[behind:]


def _chunks(buffer: mmap, start: int, stop: int) -> Iterator[bytes]:
    for at in range(start, stop, BLOCK):
        yield buffer[at : min(at + BLOCK, stop)]
