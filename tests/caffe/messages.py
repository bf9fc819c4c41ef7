"""Random messages of a type, for hypothesis, driven by the descriptor."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
}


def _value(draw: st.DrawFn, field: FieldDescriptor) -> Any:
    if field.cpp_type in _INTEGERS:
        return draw(_INTEGERS[field.cpp_type])
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        assert field.enum_type is not None
        return draw(st.sampled_from([value.number for value in field.enum_type.values]))
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return draw(st.booleans())
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
    # All of Caffe's other settings are floats. One NaN only: its other bit patterns have no text.
    return draw(st.floats(width=32, allow_nan=False) | st.just(float("nan")))


def _fill(draw: st.DrawFn, message: Message, depth: int) -> None:
    fields: list[Any] = list(message.DESCRIPTOR.fields)
    chosen = {field.name for field in draw(st.lists(st.sampled_from(fields), max_size=4))}
    for field in fields:
        if not field.is_required and (field.name not in chosen or (field.message_type is not None and depth == 0)):
            continue
        for _ in range(draw(st.integers(0, 3)) if field.is_repeated else 1):
            child = getattr(message, field.name)
            if field.message_type is not None:
                if field.is_repeated:
                    child = child.add()
                else:
                    child.SetInParent()
                _fill(draw, child, depth - 1)
            elif field.is_repeated:
                child.append(_value(draw, field))
            else:
                setattr(message, field.name, _value(draw, field))


@st.composite
def messages(draw: st.DrawFn, kind: type[Message], depth: int = 4) -> Any:
    """Messages of ``kind``, all required fields set, nested at most ``depth`` deep."""
    message = kind()
    _fill(draw, message, depth)
    return message
