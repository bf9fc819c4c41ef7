"""Pickle protocol 2 as Python 2.7 and numpy 1.9 read it, written to a stream as it is made.

What Python 3's own pickler writes is wrong for them twice: ``bytes`` become a latin-1 text and a call of ``_codecs.encode``, and
numpy 2 names a module that numpy 1.9 has not got. So the opcodes are written here, and only those that are needed: text as
BINSTRING (Python 2's ``str``, UTF-8), never unicode; array bytes as a BINSTRING too, sent from the array's own buffer. There is no
memo: nothing in a model is shared, so equal models give equal bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from caffe2neon.errors import PrmError
from caffe2neon.records import Array, Deferred, materialize

#: BINSTRING's length is a signed 4-byte integer.
LONGEST_STRING = (1 << 31) - 1
#: Bytes of an array handed to the stream at a time.
BLOCK = 4 << 20
#: An array of so many bytes is gone before the next one is made.
LARGE = 32 << 20
#: Opcodes are gathered up to this size.
_GATHER = 1 << 16

_RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
_WRITABLE_KINDS = "fiub"

Sink = Callable[["bytes | bytearray | memoryview"], object]


class Emitter:
    """Writes values to ``sink``: ``None``, bool, int, float, str, tuple, list, dict, numpy arrays and scalars, ``Deferred``.

    ``settle`` is called after each large array; it must return only when ``sink`` holds none of its blocks any more.
    """

    def __init__(self, sink: Sink, settle: Callable[[], object] = lambda: None) -> None:
        self._sink = sink
        self._settle = settle
        self._pending = bytearray(b"\x80\x02")

    def emit(self, value: Any) -> None:
        """Append one value.

        Raises:
            PrmError: the value is of another type, or too long for the format.
        """
        if value is None:
            self._put(b"N")
        elif isinstance(value, (bool, np.bool_)):
            self._put(b"\x88" if value else b"\x89")
        elif isinstance(value, (int, np.integer)):
            self._put(_integer(int(value)))
        elif isinstance(value, (float, np.floating)):
            self._put(b"G" + struct.pack(">d", value))
        elif isinstance(value, str):
            self._string(value.encode("utf-8", "surrogateescape"))
        elif isinstance(value, tuple):
            self._tuple(value)
        elif isinstance(value, list):
            self._list(value)
        elif isinstance(value, Mapping):
            self._dict(value)
        elif isinstance(value, (np.ndarray, Deferred)):
            self._array(value)
        else:
            raise PrmError(f"a {type(value).__name__} cannot be written to a .prm file")

    def finish(self) -> None:
        """End the pickle and send what is still gathered."""
        self._put(b".")
        self._flush()

    def _put(self, data: bytes) -> None:
        self._pending += data
        if len(self._pending) >= _GATHER:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._sink(bytes(self._pending))
            self._pending.clear()

    def _string(self, data: bytes) -> None:
        self._put(_string_header(len(data)) + data)

    def _tuple(self, value: tuple[Any, ...]) -> None:
        if not value:
            self._put(b")")
            return
        if len(value) > 3:
            self._put(b"(")
        for item in value:
            self.emit(item)
        self._put({1: b"\x85", 2: b"\x86", 3: b"\x87"}.get(len(value), b"t"))

    def _list(self, value: list[Any]) -> None:
        self._put(b"]")
        if value:
            self._put(b"(")
            for item in value:
                self.emit(item)
            self._put(b"e")

    def _dict(self, value: Mapping[Any, Any]) -> None:
        self._put(b"}")
        if value:
            self._put(b"(")
            for key, item in value.items():
                if not isinstance(key, (str, int, float)):
                    raise PrmError(f"a dict key in a .prm file cannot be a {type(key).__name__}")
                self.emit(key)
                self.emit(item)
            self._put(b"u")

    def _array(self, value: Array | Deferred) -> None:
        """``_reconstruct(ndarray, (0,), 'b')``, then the state ``(1, shape, dtype, False, bytes)``; C order, little-endian."""
        dtype = np.dtype("<f4") if isinstance(value, Deferred) else value.dtype.newbyteorder("<")
        if dtype.kind not in _WRITABLE_KINDS:
            raise PrmError(f"an array of {dtype} cannot be written to a .prm file")
        size = int(np.prod(value.shape, dtype=np.int64)) * dtype.itemsize
        if size > LONGEST_STRING:
            raise PrmError(
                f"an array of shape {tuple(value.shape)} has {size:,} bytes, but the pickles of Python 2 hold at most"
                f" {LONGEST_STRING:,} in one array",
                remedy="neon v1.4.0 cannot load a layer of this size from a file; split the layer",
            )
        self._put(_RECONSTRUCT + b"(K\x01")
        self._tuple(tuple(int(n) for n in value.shape))
        self._put(b"cnumpy\ndtype\n" + _short(f"{dtype.kind}{dtype.itemsize}") + b"K\x00K\x01\x87R")
        self._put(b"(K\x03" + _short("|" if dtype.itemsize == 1 else "<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
        self._put(_string_header(size))
        array = materialize(value)
        if array.shape != tuple(value.shape):
            raise PrmError(f"a deferred array of shape {tuple(value.shape)} came out as {array.shape}")
        self._flush()
        for block in _blocks(array, dtype):
            self._sink(block)
        if size >= LARGE:
            self._settle()
        self._put(b"tb")


def _blocks(array: Array, dtype: np.dtype[Any]) -> Iterator[memoryview]:
    """The array's bytes in C order, without a second full copy: views where the layout allows, else a few rows at a time."""
    if array.dtype == dtype and array.flags.c_contiguous:
        data = _octets(array)
        for start in range(0, len(data), BLOCK):
            yield data[start : start + BLOCK]
    elif array.ndim < 2:
        yield _octets(np.ascontiguousarray(array, dtype=dtype))
    elif array.size:
        rows = max(1, BLOCK * len(array) // (array.size * dtype.itemsize))
        for start in range(0, len(array), rows):
            yield _octets(np.ascontiguousarray(array[start : start + rows], dtype=dtype))


def _octets(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _string_header(length: int) -> bytes:
    if length > LONGEST_STRING:
        raise PrmError(f"a text of {length:,} bytes is too long for a .prm file")
    return b"U" + bytes((length,)) if length < 256 else b"T" + struct.pack("<i", length)


def _short(text: str) -> bytes:
    return _string_header(len(text)) + text.encode("ascii")


def _integer(value: int) -> bytes:
    """The shortest opcode. BININT holds what is an ``int`` for Python 2 anywhere; more becomes a ``long``."""
    if 0 <= value < 1 << 8:
        return b"K" + bytes((value,))
    if 0 <= value < 1 << 16:
        return b"M" + struct.pack("<H", value)
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes((value.bit_length() >> 3) + 1, "little", signed=True)
    if len(data) > 255:
        raise PrmError(f"an integer of {len(data)} bytes cannot be written to a .prm file")
    return b"\x8a" + bytes((len(data),)) + data
