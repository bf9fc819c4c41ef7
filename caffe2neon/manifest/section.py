"""One mapping of the manifest, read key by key; whatever is wrong is noted, and a stand-in returned so that reading goes on."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence

from caffe2neon.manifest.document import Item, Mistakes


def nearest(name: str, known: Collection[str], count: int = 1) -> str:
    """``; did you mean 'x'?`` with up to ``count`` names, or "" where nothing is near."""
    close = difflib.get_close_matches(name, sorted(known), n=count, cutoff=0.6)
    return f"; did you mean {' or '.join(repr(c) for c in close)}?" if close else ""


class Section:
    """A mapping at ``path`` which may hold ``keys`` (None: any name). A key that is not among them is a mistake at once."""

    def __init__(self, item: Item, path: str, mistakes: Mistakes, keys: Sequence[str] | None) -> None:
        self.path = path
        self.line = item.line
        self.mistakes = mistakes
        self._items: Mapping[str, Item] = {}
        if not isinstance(item.value, Mapping):
            mistakes.add(path or "file", item.line, f"expected a mapping, got {item.kind}")
            self._broken = True
            return
        self._broken = False
        self._items = item.value
        for key, value in item.value.items():
            if keys is not None and key not in keys:
                mistakes.add(self._at(key), value.line, f"unknown key{nearest(key, keys)}")

    def __contains__(self, key: str) -> bool:
        return key in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def wrong(self, key: str, message: str) -> None:
        """Note a mistake at ``key``, or at the section where the key is absent."""
        item = self._items.get(key)
        self.mistakes.add(self._at(key), item.line if item else self.line, message)

    def warn(self, key: str, message: str) -> None:
        self.mistakes.warn(self._at(key), self._items[key].line, message)

    def require(self, key: str) -> bool:
        """Whether ``key`` is there; noted if not."""
        if key not in self._items and not self._broken:
            self.mistakes.add(self._at(key), self.line, "required")
        return key in self._items

    def section(self, key: str, keys: Sequence[str] | None) -> Section:
        return Section(self._items[key], self._at(key), self.mistakes, keys)

    def sections(self, key: str, keys: Sequence[str]) -> tuple[Section, ...]:
        """A list of mappings; () where absent."""
        return tuple(Section(part, f"{self._at(key)}[{i}]", self.mistakes, keys) for i, part in enumerate(self._list(key)))

    def text(self, key: str, default: str = "", *, blank: bool = False) -> str:
        """A text; only with ``blank`` may it be empty."""
        item = self._items.get(key)
        if item is None:
            return default
        if not isinstance(item.value, str):
            quote = " (put it in quotes)" if item.text else ""
            self.wrong(key, f"expected text, got {item.kind}{quote}")
            return default
        if not blank and not item.value.strip():
            self.wrong(key, "must not be empty")
        return item.value

    def written(self, key: str) -> str:
        """A scalar as it stands in the file, whatever YAML takes it for; "" and a mistake for anything else."""
        item = self._items[key]
        if not item.text:
            self.wrong(key, f"expected text, got {item.kind}")
        return item.text

    def choice(self, key: str, options: Sequence[str], default: str) -> str:
        value = self.text(key, default)
        if key in self._items and isinstance(self._items[key].value, str) and value not in options:
            self.wrong(key, f"{value!r} is none of {', '.join(options)}{nearest(value, options)}")
            return default
        return value

    def flag(self, key: str, default: bool) -> bool:
        item = self._items.get(key)
        if item is None:
            return default
        if not isinstance(item.value, bool):
            self.wrong(key, f"expected true or false, got {item.kind}")
            return default
        return item.value

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """A finite number with ``low <= number <= high``."""
        item = self._items.get(key)
        return default if item is None else self._number(self._at(key), item, default, low, high)

    def numbers(self, key: str) -> tuple[float, ...]:
        """One number, or a list of them; () where absent."""
        item = self._items.get(key)
        if item is None:
            return ()
        if not isinstance(item.value, tuple):
            return (self._number(self._at(key), item, 0.0, -math.inf, math.inf),)
        return tuple(self._number(f"{self._at(key)}[{i}]", n, 0.0, -math.inf, math.inf) for i, n in enumerate(item.value))

    def sizes(self, key: str, count: int, *, one_for_all: bool = False) -> tuple[int, ...] | None:
        """A list of ``count`` whole numbers above 0; with ``one_for_all`` also a single one, which then stands for each."""
        item = self._items.get(key)
        if item is None:
            return None
        parts = item.value if isinstance(item.value, tuple) else (item,) * count if one_for_all else ()
        values = tuple(part.value for part in parts)
        if len(values) != count or not all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in values):
            either = ", or a single one" if one_for_all else ""
            self.wrong(key, f"expected a list of {count} whole numbers above 0{either}")
            return None
        return tuple(int(v) for v in values if isinstance(v, int))

    def size(self, key: str) -> int | None:
        """One whole number above 0."""
        item = self._items.get(key)
        if item is None:
            return None
        if isinstance(item.value, bool) or not isinstance(item.value, int) or item.value <= 0:
            self.wrong(key, f"expected a whole number above 0, got {item.text or item.kind}")
            return None
        return item.value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; () where absent."""
        parts = self._list(key)
        for i, part in enumerate(parts):
            if not isinstance(part.value, str):
                self.mistakes.add(f"{self._at(key)}[{i}]", part.line, f"expected text, got {part.kind}")
            elif not part.value.strip():
                self.mistakes.add(f"{self._at(key)}[{i}]", part.line, "must not be empty")
        return tuple(part.value for part in parts if isinstance(part.value, str))

    def _list(self, key: str) -> tuple[Item, ...]:
        item = self._items.get(key)
        if item is None:
            return ()
        if not isinstance(item.value, tuple):
            self.wrong(key, f"expected a list, got {item.kind}")
            return ()
        return item.value

    def _number(self, path: str, item: Item, default: float, low: float, high: float) -> float:
        value = item.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            hint = ""
            if isinstance(value, str) and _is_number(value):
                hint = " (YAML needs a dot and a sign: 1.0e-4)"
            self.mistakes.add(path, item.line, f"expected a number, got {item.kind}{hint}")
            return default
        if not math.isfinite(value) or not low <= value <= high:
            span = f" from {low:g} to {high:g}" if math.isfinite(low) or math.isfinite(high) else ""
            self.mistakes.add(path, item.line, f"expected a finite number{span}, got {item.text}")
            return default
        return float(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
