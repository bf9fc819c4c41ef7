"""What a pickle in a .prm file may construct: numpy arrays, their dtypes, scalars, and latin-1 bytes.

The five globals are names compared as text; nothing is imported and no function of numpy's pickling is called.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from caffe2neon.errors import PrmError
from caffe2neon.records import Array

Raw = bytes | memoryview

REMEDY_HOSTILE = "a neon model needs nothing of the sort: do not load this file with Python's pickle or with neon"
REMEDY_DAMAGED = "download or write the file again"

_GLOBALS = {
    "numpy.core.multiarray _reconstruct",
    "numpy.core.multiarray scalar",
    "numpy ndarray",
    "numpy dtype",
    "_codecs encode",
}
_DTYPES = frozenset(["b1", "f2", "f4", "f8", *(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8))])
_REMEDY_DTYPE = "a model's arrays hold floats or integers"


class _Global:
    """A name in the file that stands for one of the five constructors."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Dtype:
    """``numpy.dtype(code, 0, 1)`` and, after BUILD, its byte order."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.order = "<"

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


class Ndarray:
    """An array as ``_reconstruct`` makes it: empty until BUILD; :attr:`value` then is a read-only view of the file."""

    def __init__(self) -> None:
        self.value: Array | None = None


def lookup(name: str) -> Any:
    """The constructor ``module name`` (a space between).

    Raises:
        PrmError: the name is not on the allow list.
    """
    dotted = name.replace(" ", ".")
    if name in _GLOBALS:
        return _Global(name)
    if name.startswith("numpy._core"):
        raise PrmError(
            f"it asks for {dotted}, which only numpy 2 has: neon's numpy cannot load this file",
            remedy="write it again with caffe2neon, or under Python 2.7",
        )
    raise PrmError(f"it asks for {dotted[:100]!r}, which is not on the allow list", remedy=REMEDY_HOSTILE)


def call(function: Any, arguments: Any) -> Any:
    """REDUCE.

    Raises:
        PrmError: not one of the five constructors, or not with arguments that neon files have.
    """
    if not isinstance(function, _Global):
        raise PrmError("it calls something that is no function", remedy=REMEDY_HOSTILE)
    match function.name, arguments:
        case "numpy.core.multiarray _reconstruct", (_Global(name="numpy ndarray"), (0,), _):
            return Ndarray()
        case "numpy dtype", (code, *_):
            code = code if isinstance(code, str) else ascii_text(code)
            if code not in _DTYPES:
                raise PrmError(f"it holds an array of dtype {code[:20]!r}", remedy=_REMEDY_DTYPE)
            return _Dtype(code)
        case "numpy.core.multiarray scalar", (_Dtype() as dtype, raw):
            return np.frombuffer(_raw(raw), dtype.numpy(), count=1)[0].item()
        case "_codecs encode", (str() as value, *_):
            return value.encode("latin-1")
    raise PrmError(f"it calls {function.name.replace(' ', '.')} as neon never does", remedy=REMEDY_HOSTILE)


def build(target: Any, state: Any) -> None:
    """BUILD.

    Raises:
        PrmError: the target is no array or dtype, or the state is not as numpy writes it.
    """
    match target, state:
        case _Dtype(), (int(), order, None, None, None, int(), int(), int(), *_):
            order = order if isinstance(order, str) else ascii_text(order)
            if order not in ("<", ">", "|", "="):
                raise ValueError("no byte order")
            target.order = "<" if order == "=" else order
        case _Dtype(), _:
            raise PrmError("it holds an array of a structured dtype", remedy=_REMEDY_DTYPE)
        case Ndarray(), (int(), tuple() as shape, _Dtype() as dtype, int() as fortran, raw):
            target.value = _view(shape, dtype.numpy(), bool(fortran), _raw(raw))
        case Ndarray(), _:
            raise PrmError("an array's state is not as numpy writes it", remedy=REMEDY_DAMAGED)
        case _:
            raise PrmError("it sets the state of something that is no array", remedy=REMEDY_HOSTILE)


def _view(shape: tuple[Any, ...], dtype: np.dtype[Any], fortran: bool, data: Raw) -> Array:
    """The bytes as an array; the declared shape must account for each of them, so that no size is taken at the file's word."""
    fits = all(type(n) is int and n >= 0 for n in shape) and math.prod(shape) * dtype.itemsize == len(data)
    if not fits or len(shape) > 32:
        raise PrmError(f"an array of shape {str(shape)[:80]} and type {dtype} has {len(data):,} bytes", remedy=REMEDY_DAMAGED)
    flat = np.frombuffer(data, dtype) if data else np.empty(0, dtype)
    value = flat.reshape(shape, order="F" if fortran else "C")
    value.flags.writeable = False
    return value


def text(raw: Raw) -> str:
    """Python 2's ``str`` as text: UTF-8, else latin-1."""
    data = bytes(raw)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def ascii_text(raw: Any) -> str:
    return bytes(_raw(raw)).decode("ascii")


def _raw(value: Any) -> Raw:
    """Array bytes, also where a pickle holds them as a latin-1 text."""
    if isinstance(value, str):
        return value.encode("latin-1")
    if not isinstance(value, (bytes, memoryview)):
        raise ValueError("no bytes")
    return value
