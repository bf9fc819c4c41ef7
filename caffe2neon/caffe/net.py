"""Net definitions: from a prototxt (or a binary NetParameter) to upgraded, filtered layers, and back to text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from caffe2neon.caffe import phases, source
from caffe2neon.caffe.caffe_pb2 import NetParameter
from caffe2neon.caffe.text import ParsedNet, parse_net
from caffe2neon.caffe.upgrade import upgrade
from caffe2neon.errors import ParseError, located
from caffe2neon.records import CaffeNet

#: The largest prototxt in the wild has about 1 MB; more than this is a file of another kind, and not worth reading.
_MAX_BYTES = 16 << 20
_ARGUMENTS = "the net definition (.prototxt) comes first, the weights (.caffemodel) second"


def read_net(
    path: Path,
    *,
    phase: str = "TEST",
    stages: Sequence[str] = (),
    level: int = 0,
    repair: Callable[[bytes], bytes] = bytes,
) -> CaffeNet:
    """A net definition as Caffe HEAD would build it: any format, upgraded to the newest one, then filtered to one state.

    Args:
        path: a prototxt, V0, V1 or new; or the same as binary protobuf without weights.
        phase: TEST or TRAIN, the net's phase (Caffe's ``Net`` takes it from its caller, too).
        stages: further stages, beside those of the net's own ``state``.
        level: the level that min_level and max_level of rules are compared with.
        repair: changes the file's bytes before they are read; ``sha256`` stays that of the file.

    Returns:
        The layers that this state includes, in the file's order, the old ``input`` fields as an ``Input`` layer before them. Each
        has its ``phase``. ``line`` is that of the layer's first token; of the first ``input`` for the layer made of these.

    Raises:
        ParseError: the file cannot be read, is something else, has a syntax error, fields that Caffe has not got, or no layers, or
            cannot be upgraded; with line and column as far as there are any.
        UsageError: ``phase`` or ``level`` is not one.
    """
    path = Path(path)
    stream, size = source.open_file(path)
    with stream, located(path=str(path)):
        if size > _MAX_BYTES:
            raise ParseError(f"{size:,} bytes are too many for a net definition", remedy=_ARGUMENTS)
        try:
            data = stream.read()
        except OSError as error:
            raise source.cannot_read(path, error) from error
        parsed = _parse(repair(data), str(path))
        name = parsed.net.name
        layers, own = upgrade(parsed)
        if not layers:
            raise ParseError("no layer is in this file", remedy="give a net definition: layer { name: ... type: ... }")
        kept = phases.keep(layers, phases.state(own, phase, stages, level))
        return CaffeNet(name, tuple(kept), str(path), hashlib.sha256(data).hexdigest(), phase=phase)


def net_text(net: CaffeNet) -> str:
    """A net as a prototxt in the newest form, which :func:`read_net` and Caffe read as the same net.

    Its include and exclude rules are left out: they have been applied, and would be judged again by every reader's own state.
    """
    from google.protobuf import text_format

    message = NetParameter(name=net.name, layer=[layer.param for layer in net.layers])
    for layer in message.layer:
        layer.ClearField("include")
        layer.ClearField("exclude")
    return text_format.MessageToString(message, as_utf8=True)


def _parse(data: bytes, path: str) -> ParsedNet:
    kind, remedy = source.foreign(data[: source.HEAD])
    if kind:
        raise ParseError(f"this is {kind}, not a net definition", remedy=remedy)
    if source.is_text(data) or data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return parse_net(data, path)
    try:
        net = NetParameter.FromString(data)
    except DecodeError as error:
        # A text with a stray control character is a text all the same: its syntax error says where the character is.
        if len(data.translate(None, source.CONTROL)) * 100 >= len(data) * 99:
            return parse_net(data, path)
        raise ParseError("this is neither text nor a binary net definition", remedy="give the net's .prototxt") from error
    unknown = sorted(set(_unknown_fields(net)))
    if unknown:
        raise ParseError(
            f"the binary net has fields unknown to Caffe: {', '.join(unknown)}",
            remedy="they are of another branch of Caffe, or this is another kind of file: give the net's .prototxt",
        )
    if garbled := next(_garbled(net), None):
        raise ParseError(f"the binary net has a text that is not UTF-8: {garbled!r}", remedy="give the net's .prototxt")
    if any(layer.blobs for layer in net.layer) or any(layer.blobs or layer.layer.blobs for layer in net.layers):
        raise ParseError("this file holds weights", remedy=_ARGUMENTS)
    return ParsedNet(net)


def _garbled(message: Message) -> Iterator[bytes]:
    """What protobuf hands out as bytes because it is no text."""
    for field, value in message.ListFields():
        for each in value if field.is_repeated else [value]:
            if isinstance(each, Message):
                yield from _garbled(each)
            elif isinstance(each, bytes) and field.type == field.TYPE_STRING:
                yield each


def _unknown_fields(message: Message, path: str = "") -> list[str]:
    """Numbers of the fields that the descriptor has not got, after the names of their parents."""
    unknown = UnknownFieldSet(message)
    found = [f"{path}{unknown[index].field_number}" for index in range(len(unknown))]
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in value if field.is_repeated else [value]:
                found += _unknown_fields(child, f"{path}{field.name}.")
    return found
