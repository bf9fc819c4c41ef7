"""Protobuf text to message, driven by the descriptor.

The protobuf package has a reader, but it stops at the first unknown field and keeps no lines. This one accepts what Caffe's own
(C++) reader accepts, remembers where each layer begins, and names all unknown fields at once. It also skips a byte order mark.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from caffe2neon.caffe import caffe_pb2
from caffe2neon.caffe.tokens import BAD, END, MARK, STRING, WORD, Cursor
from caffe2neon.caffe.values import UnknownValue, read_value
from caffe2neon.errors import ParseError

_LAYERS = (caffe_pb2.LayerParameter, caffe_pb2.V1LayerParameter, caffe_pb2.V0LayerParameter)
#: So many unknown fields are named; a file with more of them is no net of any branch.
_MAX_SHOWN = 1000
_CLOSE = {"{": "}", "<": ">", "[": "]"}


@dataclass
class ParsedNet:
    """A net as its file has it, not upgraded. ``lines[name]`` has the line of each element of the net's repeated field ``name``."""

    net: caffe_pb2.NetParameter
    lines: dict[str, list[int]] = field(default_factory=dict)


def parse_net(data: bytes, path: str) -> ParsedNet:
    """Read a prototxt.

    Raises:
        ParseError: a syntax error, with line and column; unknown fields and enum values, all of them; a file that is UTF-16.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ParseError("the file is UTF-16 text, which Caffe does not read", path=path, remedy="save it as UTF-8")
    # Bytes that are not UTF-8 are harmless in comments, so they are refused only where a string has them.
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    parser = _Parser(Cursor(text, path))
    net = caffe_pb2.NetParameter()
    parser.fields(net, "", 0)
    parser.refuse_unknown(net)
    lines: dict[str, list[int]] = {}
    line, last = 1, 0
    for name, offset in parser.starts:
        line, last = line + text.count("\n", last, offset), offset
        lines.setdefault(name, []).append(line)
    return ParsedNet(net, lines)


@functools.cache
def _table(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    """Fields by name. A plain dict: the descriptor's own look-up makes a new Python object each time."""
    return {field.name: field for field in descriptor.fields}


@functools.cache
def _required(descriptor: Descriptor) -> tuple[str, ...]:
    return tuple(field.name for field in descriptor.fields if field.is_required)


class _Parser:
    """One pass over the tokens. ``starts`` gets the name and the offset of each element of the net's repeated fields."""

    def __init__(self, cursor: Cursor) -> None:
        self._at = cursor
        self._names: list[str] = []
        self._unknown: list[tuple[int, str, str, Collection[str]]] = []
        self.starts: list[tuple[str, int]] = []

    def fields(self, message: Message, close: str, opened: int) -> None:
        """Fields up to ``close``, which is "" for the end of the file; ``opened`` is the offset of what it closes."""
        at, table = self._at, _table(message.DESCRIPTOR)
        while at.token != close:
            if at.kind != WORD:
                raise at.unexpected("a field name", close, opened)
            name, offset = at.token, at.offset
            at.advance()
            self._names.append(name)
            descriptor = table.get(name)
            if descriptor is None:
                self._note_unknown(offset, name, "", table)
                self._skip(name, offset)
            elif descriptor.message_type is not None:
                if at.token == ":":
                    at.advance()
                self._each(message, descriptor, offset, self._message)
            else:
                if at.token != ":":
                    raise at.unexpected(f"':' after {name}")
                at.advance()
                self._each(message, descriptor, offset, self._scalar)
            self._names.pop()
            if at.kind == MARK and at.token in ",;":
                at.advance()
        for name in _required(message.DESCRIPTOR):
            if not message.HasField(name):
                raise at.error(f"{self._names[-1]} must have a field {name!r}")
        at.advance()

    def _each(
        self, message: Message, descriptor: FieldDescriptor, offset: int, read: Callable[[Message, FieldDescriptor, int], None]
    ) -> None:
        """One value, or ``[a, b]``, the short form of a repeated field, which may be empty."""
        at = self._at
        if not descriptor.is_repeated:
            if message.HasField(descriptor.name):
                raise at.error(f"{descriptor.name} is given twice, but has one value", offset, remedy="remove one of them")
            read(message, descriptor, offset)
        elif at.token != "[":
            read(message, descriptor, offset)
        else:
            opened = at.offset
            at.advance()
            while at.token != "]":
                read(message, descriptor, at.offset)
                if at.token == "]":
                    break
                if at.token != ",":
                    raise at.unexpected("',' or ']'", "]", opened)
                at.advance()
                if at.token == "]":
                    raise at.unexpected("a value after ','")
            at.advance()

    def _message(self, message: Message, descriptor: FieldDescriptor, offset: int) -> None:
        at, top = self._at, len(self._names) == 1
        close, opened = _CLOSE.get(at.token, ""), at.offset
        if close not in ("}", ">"):
            raise at.unexpected(f"'{{' after {descriptor.name}")
        at.advance()
        child = getattr(message, descriptor.name)
        if descriptor.is_repeated:
            child = child.add()
        else:
            child.SetInParent()
        if top:
            self.starts.append((descriptor.name, offset))
        self.fields(child, close, opened)
        if top:
            at.layer = ""

    def _scalar(self, message: Message, descriptor: FieldDescriptor, offset: int) -> None:
        at = self._at
        begin = at.offset
        try:
            value = read_value(at, descriptor)
        except UnknownValue as error:
            assert descriptor.enum_type is not None
            self._note_unknown(begin, str(error), ": ", descriptor.enum_type.values_by_name)
            return
        if not descriptor.is_repeated:
            setattr(message, descriptor.name, value)
        else:
            getattr(message, descriptor.name).append(value)
            if len(self._names) == 1:
                self.starts.append((descriptor.name, offset))
        if descriptor.name == "name" and isinstance(message, _LAYERS):
            at.layer = value

    def _skip(self, name: str, opened: int) -> None:
        """What follows an unknown field's name: a value, a list or a whole message, to any depth."""
        at = self._at
        if at.token == ":":
            at.advance()
        elif at.token not in _CLOSE:
            raise at.unexpected(f"':' or '{{' after '{name}'")
        if at.token == "-":
            at.advance()
        closers: list[str] = []
        while True:
            string = at.kind == STRING
            if at.kind == END and closers:
                raise at.unexpected("", closers[-1], opened)
            if at.token in _CLOSE:
                closers.append(_CLOSE[at.token])
            elif closers and at.token == closers[-1]:
                closers.pop()
            elif at.kind in (BAD, END) or at.token in _CLOSE.values() or (at.kind == MARK and not closers):
                raise at.unexpected(f"'{closers[-1]}'" if closers else "a value")
            at.advance()
            if not closers and not (string and at.kind == STRING):
                return

    def _note_unknown(self, offset: int, name: str, mark: str, known: Collection[str]) -> None:
        path = ".".join(self._names) + (f"{mark}{name}" if mark else "")
        self._unknown.append((offset, path, name, known))

    def refuse_unknown(self, net: caffe_pb2.NetParameter) -> None:
        """One error for all fields and enum values that Caffe has not got, in the order of the file."""
        if not self._unknown:
            return
        at, first = self._at, self._unknown[0][0]
        solver = _table(caffe_pb2.SolverParameter.DESCRIPTOR)
        if not net.layer and not net.layers and all(name.partition(".")[0] in solver for _, name, *_ in self._unknown):
            raise at.error("this is a solver, not a net", first, remedy="give the file that its field `net` or `train_net` names")
        lines = []
        for offset, path, name, known in self._unknown[:_MAX_SHOWN]:
            line, column = at.position(offset)
            near = [other for other in known if other.startswith(name)] or difflib.get_close_matches(name, known, 1, 0.85)
            lines.append(f"\n    {line}:{column}: {path}" + (f" (is {near[0]} meant?)" if near else ""))
        if len(self._unknown) > _MAX_SHOWN:
            lines.append(f"\n    and {len(self._unknown) - _MAX_SHOWN:,} more")
        raise at.error(
            f"Caffe does not know{''.join(lines)}",
            first,
            remedy="this is of another branch of Caffe: remove it if the net means the same without; else it cannot be converted",
        )
