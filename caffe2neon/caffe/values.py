"""Scalar values in protobuf text, by the rules of the C++ reader that Caffe uses: stricter than Python's about numbers."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from caffe2neon.caffe.tokens import INTEGER, REAL, STRING, WORD, Cursor, unquote

_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_BOOLEANS = {"true": True, "True": True, "t": True, "1": True, "false": False, "False": False, "f": False, "0": False}
_NUMBERS = {"inf": float("inf"), "infinity": float("inf"), "nan": float("nan")}


class UnknownValue(Exception):
    """An enum value that Caffe has not got; the cursor has passed it."""


def read_value(cursor: Cursor, field: FieldDescriptor) -> Any:
    """The value at the cursor, which moves behind it.

    Raises:
        ParseError: it is not of the field's type, or out of its range.
        UnknownValue: see there.
    """
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return _string(cursor, field)
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return _enum(cursor, field)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return _boolean(cursor, field)
    return _integer(cursor, field, *_RANGES[kind]) if kind in _RANGES else _real(cursor, field)


def _string(cursor: Cursor, field: FieldDescriptor) -> str:
    if cursor.kind != STRING:
        raise cursor.unexpected(f"a string in quotes for {field.name}")
    parts, offset = [], cursor.offset
    try:
        while cursor.kind == STRING:
            parts.append(unquote(cursor.token))
            cursor.advance()
        return b"".join(parts).decode("utf-8")
    except UnicodeDecodeError as error:
        raise cursor.error("this string is not UTF-8", offset, remedy="save the file as UTF-8") from error
    except ValueError as error:
        raise cursor.error(f"this string is wrong: {error}", offset) from error


def _enum(cursor: Cursor, field: FieldDescriptor) -> int:
    assert field.enum_type is not None
    values, shown = field.enum_type.values_by_name, cursor.token
    if cursor.kind == WORD:
        cursor.advance()
        if shown in values:
            return values[shown].number
        raise UnknownValue(shown)
    if cursor.kind == INTEGER or shown == "-":
        number = _integer(cursor, field, *_RANGES[FieldDescriptor.CPPTYPE_INT32])
        if number in field.enum_type.values_by_number:
            return number
        raise UnknownValue(str(number))
    raise cursor.unexpected(f"one of {', '.join(values)} for {field.name}")


def _boolean(cursor: Cursor, field: FieldDescriptor) -> bool:
    if cursor.token not in _BOOLEANS:
        raise cursor.unexpected(f"true or false for {field.name}")
    value = _BOOLEANS[cursor.token]
    cursor.advance()
    return value


def _integer(cursor: Cursor, field: FieldDescriptor, low: int, high: int) -> int:
    offset, negative = cursor.offset, cursor.token == "-" and low < 0
    if negative:
        cursor.advance()
    if cursor.kind != INTEGER:
        raise cursor.unexpected(f"a whole number{'' if low else ' from 0 on'} for {field.name}")
    token = cursor.token
    try:
        value = int(token, 16 if token[1:2] in ("x", "X") else 8 if token[0] == "0" else 10)
    except ValueError as error:
        raise cursor.error(f"{token[:40]} is no whole number (a leading 0 means octal)") from error
    value = -value if negative else value
    if not low <= value <= high:
        raise cursor.error(f"{field.name} must be from {low} to {high}", offset)
    cursor.advance()
    return value


def _real(cursor: Cursor, field: FieldDescriptor) -> float:
    negative = cursor.token == "-"
    if negative:
        cursor.advance()
    token = cursor.token
    if cursor.kind == REAL or (cursor.kind == INTEGER and (token == "0" or token[0] != "0")):
        value = float(token.rstrip("fF"))
    elif cursor.kind == WORD and token.lower() in _NUMBERS:
        value = _NUMBERS[token.lower()]
    else:
        raise cursor.unexpected(f"a decimal number for {field.name}")
    cursor.advance()
    return -value if negative else value
