"""JSON objects that strangers wrote, read field by field: each has to be there, of its kind, and of a size that makes sense."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from caffe2neon.errors import PublishError

#: A number that JSON has no form for, as this project writes it.
WORDS = ("NaN", "Infinity", "-Infinity")
#: More than any file or data set has, and what other programs' integers hold.
_MOST = 2**63
#: More than any array has.
_DIMENSIONS = 8


class Fields:
    """One object, and where it is, for the error.

    Args:
        value: as ``json`` read it.
        what: begins the error: "not the record of a build".
        at: where in the file the object is: "topk[0]".
        where: of the error, such as its path; and ``remedy``.

    Raises:
        PublishError: it is no object; and so all methods where a field is missing, or is not what it is asked for as.
    """

    def __init__(self, value: object, what: str, *, at: str = "", **where: str) -> None:
        self._what, self._at, self._where = what, at, where
        if not isinstance(value, Mapping):
            self._refuse("", "is no object")
        self._value: Mapping[str, Any] = value

    def __contains__(self, key: str) -> bool:
        """Whether the field is there, and not null."""
        return self._value.get(key) is not None

    def given(self, key: str) -> bool:
        """Whether the field, which has to be there, is not null."""
        return self._get(key) is not None

    def text(self, key: str) -> str:
        text: str = self._of(key, lambda value: isinstance(value, str), "is no text")
        return text

    def digest(self, key: str) -> str:
        """A sha256."""
        text = self.text(key)
        return text if re.fullmatch("[0-9a-f]{64}", text) else self._refuse(key, "is no sha256")

    def count(self, key: str) -> int:
        count: int = self._of(key, _is_count, "is no count")
        return count

    def number(self, key: str, low: float = -math.inf, high: float = math.inf) -> float:
        """Finite, and within these bounds; an int stays one."""
        number: float = self._of(key, _is_number, "is no number")
        return number if low <= number <= high else self._refuse(key, f"is not from {low:g} to {high:g}")

    def number_or_word(self, key: str) -> float | str:
        """A number from 0 on, or one of :data:`WORDS`."""
        return self.text(key) if self._get(key) in WORDS else self.number(key, 0)

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(self._list(key, lambda item: isinstance(item, str), "are not texts"))

    def numbers(self, key: str) -> tuple[float, ...]:
        return tuple(self._list(key, _is_number, "are not numbers"))

    def shape(self, key: str) -> tuple[int, ...]:
        shape = tuple(self._list(key, _is_count, "are not counts"))
        return shape if len(shape) <= _DIMENSIONS else self._refuse(key, f"has {len(shape)} dimensions")

    def pair(self, key: str) -> tuple[int, int]:
        """A height and a width."""
        shape = self.shape(key)
        return (shape[0], shape[1]) if len(shape) == 2 else self._refuse(key, "are not two numbers")

    def inner(self, key: str) -> Fields:
        return self._made(self._get(key), key)

    def each(self, key: str) -> tuple[Fields, ...]:
        items = self._list(key, lambda _: True, "")
        return tuple(self._made(item, f"{key}[{number}]") for number, item in enumerate(items))

    def named(self, key: str) -> dict[str, Fields]:
        """An object of objects, by name, in the order of the names."""
        value: Mapping[str, Any] = self._of(key, lambda value: isinstance(value, Mapping), "is no object")
        return {name: self._made(item, f"{key}.{name}") for name, item in sorted(value.items())}

    def percents(self) -> dict[str, float]:
        """All of the object's fields, each from 0 to 100."""
        return {key: float(self.number(key, 0, 100)) for key in sorted(self._value)}

    def topk(self, key: str) -> dict[int, float]:
        """An object that maps each k to a percentage."""
        percents = self.inner(key).percents()
        if not all(re.fullmatch("[1-9][0-9]{0,8}", k) for k in percents):
            self._refuse(key, "is not by k")
        return {int(k): percent for k, percent in percents.items()}

    def _get(self, key: str) -> Any:
        if key not in self._value:
            self._refuse(key, "is missing")
        return self._value[key]

    def _of(self, key: str, fits: Callable[[object], bool], what: str) -> Any:
        value = self._get(key)
        return value if fits(value) else self._refuse(key, what)

    def _list(self, key: str, fits: Callable[[object], bool], what: str) -> list[Any]:
        items: list[Any] = self._of(key, lambda value: isinstance(value, list), "is no list")
        if not all(map(fits, items)):
            self._refuse(key, what)
        return items

    def _made(self, value: object, key: str) -> Fields:
        return Fields(value, self._what, at=self._path(key), **self._where)

    def _path(self, key: str) -> str:
        return ".".join(filter(None, (self._at, key)))

    def _refuse(self, key: str, what: str) -> NoReturn:
        raise PublishError(f"{self._what}: {self._path(key) or 'it'} {what}", **self._where)  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    """Compared, not converted: JSON's whole numbers may be too large for a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST
