"""What this project records in a model, checked when a file is read: every reader may then take it as it is documented."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from caffe2neon.errors import PrmError
from caffe2neon.records import META

_Check = Callable[[Any], bool]


def check_record(header: Mapping[str, Any]) -> None:
    """Hold a header's ``train_input_shape`` and :data:`META` to what :class:`~caffe2neon.records.NeonModel` says of them.

    Keys that this version does not know are left alone, and so is a :data:`META` of another program, which is no dict.

    Raises:
        PrmError: names the first value of another form.
    """
    shape = header.get("train_input_shape")
    if not (shape is None or _whole(shape) or _list_of(_whole)(shape)):
        raise _odd("train_input_shape", shape)
    record = header.get(META)
    if not isinstance(record, dict):
        return
    _check_fields(record, META, _RECORD)
    for key, checks in _INNER.items():
        _check_fields(record.get(key) or {}, f"{META}.{key}", checks)


def _check_fields(value: Mapping[Any, Any], place: str, checks: Mapping[str, _Check]) -> None:
    for key, check in checks.items():
        if value.get(key) is not None and not check(value[key]):
            raise _odd(f"{place}.{key}", value[key])


def _odd(place: str, value: Any) -> PrmError:
    shown = repr(value) if isinstance(value, str | int | float) else f"a {type(value).__name__} with something else in it"
    return PrmError(f"what it records as {place} makes no sense: {shown[:80]}", remedy="convert the model again")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _dict(value: Any) -> bool:
    return isinstance(value, dict)


def _list_of(check: _Check, length: int | None = None) -> _Check:
    def whole_list(value: Any) -> bool:
        return isinstance(value, list | tuple) and length in (None, len(value)) and all(map(check, value))

    return whole_list


_RECORD: dict[str, _Check] = {
    "inputs": _list_of(_text),
    "outputs": _list_of(_text),
    "trace": _list_of(_list_of(_text, 2)),
    "class_order": _text,
    "remap": _dict,
    "source": _dict,
    "preprocess": _dict,
    "notes": _list_of(_text),
}
_INNER: dict[str, dict[str, _Check]] = {
    "remap": {"map": _list_of(_whole), "layers": _list_of(_text)},
    "preprocess": {
        "channel_order": _text,
        "resize": _list_of(_whole, 2),
        "crop": _list_of(_whole, 2),
        "mean": _list_of(_number),
        "scale": _number,
    },
}
