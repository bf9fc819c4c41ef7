"""Protobuf's wire format, scanned in place: where each field lies, without reading what it holds.

A scan touches a field's tag and length only, so the pages that hold numbers are not even loaded. Lengths come from the file and are
compared with what is left of it before anything is done with them. Field numbers come from the compiled descriptor.

A leaf, like ``files``: Caffe's weights are such messages, and so are the records of its databases.
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple, TypeAlias

import numpy as np
from google.protobuf.message import Message

from caffe2neon.errors import ParseError
from caffe2neon.records import Array

Buffer: TypeAlias = bytes | mmap | memoryview

# Wire types of https://protobuf.dev/programming-guides/encoding/
VARINT, FIXED64, LENGTH, START, END, FIXED32 = range(6)
_REMEDY = "the file is cut short, damaged or no caffemodel: download it again and compare its checksum"


class Field(NamedTuple):
    """One field in place: its tag begins at ``first``, its value lies in ``[start, stop)``; ``value`` is set for VARINT only."""

    number: int
    wire: int
    first: int
    start: int
    stop: int
    value: int = 0


def numbers(message: type[Message], *names: str) -> tuple[int, ...]:
    """Field numbers by name."""
    return tuple(message.DESCRIPTOR.fields_by_name[name].number for name in names)


def fields(buffer: Buffer, start: int, stop: int) -> Iterator[Field]:
    """All fields of the message in ``[start, stop)``, unknown ones included; see :func:`field_at`."""
    while start < stop:
        field = field_at(buffer, start, stop)
        yield field
        start = field.stop


def field_at(buffer: Buffer, first: int, stop: int) -> Field:
    """The field whose tag is at ``first``, in a message that ends at ``stop``. A group, which Caffe has none of, is one field.

    Raises:
        ParseError: the field reaches beyond ``stop``, or protobuf has no such tag.
    """
    tag, start = varint(buffer, first, stop)
    number, wire, value, end = tag >> 3, tag & 7, 0, start
    if not 0 < number < 1 << 29 or wire == END or wire > FIXED32:
        raise _broken(f"byte {first} begins no field of protobuf's wire format")
    if wire == LENGTH:
        length, start = varint(buffer, start, stop)
        end = start + length
    elif wire == VARINT:
        value, end = varint(buffer, start, stop)
    elif wire == START:
        end = _group_end(buffer, start, stop, number)
    else:
        end = start + (4 if wire == FIXED32 else 8)
    if end > stop:
        raise _broken(f"the field at byte {first} has {end - start:,} bytes, but only {stop - start:,} are left")
    return Field(number, wire, first, start, end, value)


def _group_end(buffer: Buffer, at: int, stop: int, number: int) -> int:
    """Where the group of that number ends; groups may be nested to any depth."""
    groups = [number]
    while groups:
        tag, after = varint(buffer, at, stop)
        if tag & 7 == START:
            groups.append(tag >> 3)
            at = after
        elif tag & 7 == END:
            if groups.pop() != tag >> 3:
                raise _broken(f"byte {at} ends a group that is not open")
            at = after
        else:
            at = field_at(buffer, at, stop).stop
    return at


def varint(buffer: Buffer, at: int, stop: int) -> tuple[int, int]:
    """An unsigned number of at most 64 bits at ``at``, and where the next thing begins."""
    value = shift = 0
    start = at
    while at < stop and shift < 70:
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise _broken(f"the number at byte {start} does not end")


def field(number: int, content: bytes) -> bytes:
    """A field of that number which holds ``content``."""
    return head(number, len(content)) + content


def head(number: int, length: int) -> bytes:
    """Tag and length of a field of that number which holds so many bytes."""
    return to_varint(number << 3 | LENGTH) + to_varint(length)


def to_varint(value: int) -> bytes:
    """A number from 0 on, as :func:`varint` reads it."""
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*result, value])


def varints(buffer: Buffer, start: int, stop: int) -> list[int]:
    """A packed repeated field of numbers."""
    values = []
    while start < stop:
        value, start = varint(buffer, start, stop)
        values.append(value)
    return values


def signed(value: int, bits: int) -> int:
    """A varint as protobuf reads it into a signed field of that many bits."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def packed(buffer: Buffer, field: Field, dtype: np.dtype[np.generic]) -> Array:
    """A packed repeated field of fixed size, as a read-only view of ``buffer``; it need not be aligned.

    Raises:
        ParseError: its length is no multiple of the item's size.
    """
    count, rest = divmod(field.stop - field.start, dtype.itemsize)
    if rest:
        raise _broken(f"the {field.stop - field.start:,} bytes at byte {field.start} are no numbers of {dtype.itemsize} bytes each")
    return np.frombuffer(buffer, dtype, count, field.start)


def unpacked(buffer: Buffer, field: Field, stop: int, dtype: np.dtype[np.generic]) -> tuple[Array, int]:
    """A run of single values, each with its tag, from ``field`` on: their values, and where the run ends.

    numpy finds the end of the run, in blocks: a Python loop over every value of a layer would take minutes.
    """
    first, tag = field.first, field.start - field.first
    row = tag + dtype.itemsize
    rows = np.frombuffer(buffer, np.uint8, (stop - first) // row * row, first).reshape(-1, row)
    count, block = 1, 64
    while count < len(rows):
        same = (rows[count : count + block, :tag] == rows[0, :tag]).all(axis=1)
        if not same.all():
            count += int(same.argmin())
            break
        count += len(same)
        block = min(block * 8, 1 << 20)
    return np.ascontiguousarray(rows[:count, tag:]).view(dtype).reshape(-1), first + count * row


def _broken(message: str) -> ParseError:
    return ParseError(message, remedy=_REMEDY)
