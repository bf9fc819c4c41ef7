"""Structs of numbers and texts out of a MATLAB 5 file, as much as the devkit's ``meta.mat`` needs.

The format is MathWorks' "MAT-File Format", level 5: a header of 128 bytes, then elements, each a type, a size and that many bytes.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

#: More than any devkit has: its meta.mat is 0.2 MB, unpacked 3 MB.
MOST_BYTES = 64 << 20

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_ENCODINGS = {1: "ascii", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
_STRUCT, _CHAR, _NUMERIC = 2, 4, range(6, 16)

Value = float | str | None


def read_structs(data: bytes, name: str, fields: Sequence[str]) -> list[dict[str, Value]]:
    """The struct array ``name``, an entry for each element in MATLAB's order; a field that is no number or text is None.

    Raises:
        ValueError: no such file, variable or field, or damaged. Damage may also raise struct.error, zlib.error, IndexError.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:_HEADER])
    if order is None:
        raise ValueError("no MATLAB 5 file")
    for kind, body in _elements(memoryview(data)[_HEADER:], order):
        matrix = body
        if kind == _COMPRESSED:
            [(kind, matrix)] = _elements(_unpacked(body), order)
        if kind != _MATRIX:
            continue
        shape, variable, what, rest = _matrix(matrix, order)
        if variable == name:
            if what != _STRUCT:
                raise ValueError(f"{name} is no struct")
            return _structs(math.prod(shape), rest, fields, order)
    raise ValueError(f"no variable {name}")


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and bytes of each element; those of up to 4 bytes have size, type and bytes in 8."""
    at = 0
    while at < len(data):
        (word,) = struct.unpack_from(order + "I", data, at)
        if word >> 16:
            kind, size, start, end = word & 0xFFFF, word >> 16, at + 4, at + 8
            if size > 4:
                raise ValueError("a small element of more than 4 bytes")
        else:
            kind, (size,), start = word, struct.unpack_from(order + "I", data, at + 4), at + 8
            end = start + size + (0 if kind == _COMPRESSED else -size % 8)
        if start + size > len(data):
            raise ValueError("an element ends behind the file")
        yield kind, data[start : start + size]
        at = end


def _unpacked(data: memoryview) -> memoryview:
    result = zlib.decompressobj().decompress(data, MOST_BYTES + 1)
    if len(result) > MOST_BYTES:
        raise ValueError(f"unpacks to more than {MOST_BYTES:,} bytes")
    return memoryview(result)


def _matrix(data: memoryview, order: str) -> tuple[tuple[int, ...], str, int, list[tuple[int, memoryview]]]:
    """Shape, name and class of an array, and the elements behind them."""
    (_, flags), (_, shape), (_, name), *rest = _elements(data, order)
    (word,) = struct.unpack_from(order + "I", flags)
    sizes = np.frombuffer(shape, order + "i4").tolist()
    if any(size < 0 for size in sizes):
        raise ValueError("an array of negative size")
    return tuple(sizes), str(name, "latin-1"), word & 0xFF, rest


def _structs(count: int, rest: list[tuple[int, memoryview]], fields: Sequence[str], order: str) -> list[dict[str, Value]]:
    """Field names have a fixed length; then the values, element by element."""
    (_, length), (_, names), *cells = rest
    (width,) = struct.unpack_from(order + "i", length)
    if width < 1:
        raise ValueError("field names without length")
    known = [bytes(names[at : at + width]).split(b"\0")[0].decode("latin-1") for at in range(0, len(names), width)]
    if len(cells) != count * len(known):
        raise ValueError(f"{len(cells)} values for {count} structs of {len(known)} fields")
    places = [(field, known.index(field)) for field in fields]
    return [{field: _value(cells[row * len(known) + place][1], order) for field, place in places} for row in range(count)]


def _value(data: memoryview, order: str) -> Value:
    """One number, one text, or None."""
    if not data:
        return None
    _, _, what, rest = _matrix(data, order)
    if not rest:
        return None
    kind, content = rest[0]
    if what == _CHAR:
        encoding = _ENCODINGS[kind]
        return str(content, encoding + {"<": "-le", ">": "-be"}[order] if encoding == "utf-16" else encoding)
    if what in _NUMERIC:
        numbers: Any = np.frombuffer(content, order + _NUMBERS[kind])
        return float(numbers[0]) if len(numbers) == 1 else None
    return None
