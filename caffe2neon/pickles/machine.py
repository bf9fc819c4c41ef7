"""The stack machine of a pickle: its stack, its memo and its place in the file. ``opcodes`` tells it what to do."""

from __future__ import annotations

import struct
from typing import Any

from caffe2neon.errors import PrmError
from caffe2neon.pickles.constructors import REMEDY_DAMAGED, REMEDY_HOSTILE, ascii_text, build, call, lookup, text

_LONGEST_KEY = 4096


class _Mark:
    pass


_MARK = _Mark()


class Machine:
    """Values are plain data; text stays bytes or memoryview (``str`` where unicode), arrays are ``Ndarray``.

    Its methods raise ValueError, IndexError, KeyError, TypeError or struct.error on a damaged file, and PrmError on a hostile one.
    """

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.at = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def result(self) -> Any:
        """STOP: the one value left."""
        if len(self._stack) != 1:
            raise ValueError("values left over")
        if self.at != len(self._data):
            raise PrmError(f"{len(self._data) - self.at:,} bytes follow the end of the pickle", remedy=REMEDY_DAMAGED)
        return self._pop()

    # -- reading --

    def take(self, count: int) -> memoryview:
        end = self.at + count
        if count < 0 or end > len(self._data):
            self.at = len(self._data)
            raise ValueError("truncated")
        view = self._data[self.at : end]
        self.at = end
        return view

    def line(self) -> bytes:
        """Up to the next newline, which is dropped."""
        end = self.at
        size = 256
        while True:
            block = bytes(self._data[end : end + size])
            found = block.find(b"\n")
            if found >= 0:
                start, self.at = self.at, end + found + 1
                return bytes(self._data[start : end + found])
            if not block:
                self.at = len(self._data)
                raise ValueError("truncated")
            end += len(block)
            size *= 2

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    # -- stack --

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("a mark is no value")
        return value

    def _to_mark(self) -> list[Any]:
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index] is _MARK:
                items = self._stack[index + 1 :]
                del self._stack[index:]
                return items
        raise ValueError("no mark")

    def mark(self) -> None:
        self._stack.append(_MARK)

    def pop(self) -> None:
        self._stack.pop()

    def pop_mark(self) -> None:
        self._to_mark()

    def duplicate(self) -> None:
        self.push(self._top())

    def _top(self) -> Any:
        value = self._stack[-1]
        if value is _MARK:
            raise ValueError("a mark is no value")
        return value

    # -- containers --

    def tuple_of(self, count: int) -> None:
        items = self._stack[len(self._stack) - count :]
        if len(items) != count or _MARK in items:
            raise ValueError("too few values")
        del self._stack[len(self._stack) - count :]
        self.push(tuple(items))

    def tuple_to_mark(self) -> None:
        self.push(tuple(self._to_mark()))

    def list_to_mark(self) -> None:
        self.push(self._to_mark())

    def dict_to_mark(self) -> None:
        items = self._to_mark()
        target: dict[Any, Any] = {}
        _update(target, items)
        self.push(target)

    def append(self) -> None:
        value = self._pop()
        _expect(self._top(), list).append(value)

    def appends(self) -> None:
        items = self._to_mark()
        _expect(self._top(), list).extend(items)

    def set_item(self) -> None:
        value, key = self._pop(), self._pop()
        _update(_expect(self._top(), dict), [key, value])

    def set_items(self) -> None:
        items = self._to_mark()
        _update(_expect(self._top(), dict), items)

    # -- memo --

    def put(self, index: int) -> None:
        if index < 0:
            raise ValueError("negative memo index")
        self._memo[index] = self._top()

    def get(self, index: int) -> None:
        self.push(self._memo[index])

    # -- objects --

    def find_global(self) -> None:
        self.push(lookup(" ".join(ascii_text(self.line()) for _ in range(2))))

    def reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        self.push(call(function, arguments))

    def build(self) -> None:
        state, target = self._pop(), self._top()
        build(target, state)


def _expect(value: Any, kind: type[Any]) -> Any:
    if type(value) is not kind:
        raise ValueError(f"no {kind.__name__}")
    return value


def _update(target: dict[Any, Any], items: list[Any]) -> None:
    """Set keys and values; text keys become ``str`` here, since a mapped view has no lasting hash."""
    if len(items) % 2:
        raise ValueError("a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[_key(key)] = value


def _key(key: Any) -> Any:
    if isinstance(key, (bytes, memoryview)):
        if len(key) > _LONGEST_KEY:
            raise ValueError("no key of a model")
        return text(key)
    if not isinstance(key, (str, int, float)):
        raise PrmError("a dict has a key that is neither text nor a number", remedy=REMEDY_HOSTILE)
    return key
