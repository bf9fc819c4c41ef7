"""YAML as a tree that remembers its lines, without running anything that a tag might ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from caffe2neon.errors import ManifestError, Where

Event: TypeAlias = Any  # the stubs of PyYAML know neither an event's fields nor the mark that each has
#: The schema needs five levels; a parser that recurses must be told where to stop.
_DEEPEST = 50

Scalar: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True)
class Item:
    """One value of the file. ``line`` counts from 1 and is its key's where it has one.

    ``text`` is a scalar as written: a hash made of digits alone is a number to YAML, which drops leading zeros.
    """

    line: int
    value: Scalar | tuple[Item, ...] | Mapping[str, Item]
    text: str = ""

    @property
    def kind(self) -> str:
        """What a person would call it, for messages."""
        if isinstance(self.value, Mapping):
            return "a mapping"
        if isinstance(self.value, tuple):
            return "a list"
        if self.value is None:
            return "nothing"
        names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        return names[type(self.value)]


@dataclass
class Mistakes:
    """What is wrong with a manifest, collected so that it can be said all at once; and what is only unwise."""

    found: list[tuple[int, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, path: str, line: int, message: str) -> None:
        self.found.append((line, f"{path}: {message} (line {line})"))

    def warn(self, path: str, line: int, message: str) -> None:
        self.warnings.append(f"{path}: {message} (line {line})")

    def raise_if_any(self, source: Path) -> None:
        """Raise one ManifestError with all mistakes in the order of the file."""
        if not self.found:
            return
        count = "1 mistake" if len(self.found) == 1 else f"{len(self.found)} mistakes"
        lines = "".join(f"\n  {text}" for _, text in sorted(self.found))
        raise ManifestError(f"{count}:{lines}", path=str(source))


def parse(source: Path, mistakes: Mistakes, text: str | None = None) -> Item:
    """Read one YAML document; a key given twice in one mapping is a mistake, and the first value is kept.

    With ``text``, that is read, and ``source`` only named.

    Raises:
        ManifestError: the file cannot be read, or is not one YAML document.
    """
    import yaml

    text = read_text(source) if text is None else text
    try:
        return _Tree(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)), mistakes).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = Where(path=str(source), line=mark.line + 1 if mark else 0, column=mark.column + 1 if mark else 0)
        raise ManifestError(f"not YAML: {error.problem or error.context}", where=where) from error
    except yaml.YAMLError as error:
        raise ManifestError(f"not YAML: {error}", path=str(source)) from error
    except ManifestError as error:
        raise ManifestError(error.message, where=replace(error.where, path=str(source))) from error


def read_text(source: Path) -> str:
    """The file as it is, ends of lines too.

    Raises:
        ManifestError: it is not there, cannot be read, or is not UTF-8.
    """
    try:
        return source.read_bytes().decode()
    except FileNotFoundError as error:
        remedy = "name the manifest with --manifest FILE, or begin one: caffe2neon zoo add URL URL"
        raise ManifestError("no such file", path=str(source), remedy=remedy) from error
    except OSError as error:
        raise ManifestError(f"cannot read: {error.strerror}", path=str(source)) from error
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ManifestError(f"not text in UTF-8: byte {error.start} is {byte:#04x}", path=str(source)) from error


class _Tree:
    """The parser's events, turned into items one by one.

    PyYAML's own composer in C recurses without a limit, and a file of brackets crashes the whole process. What an alias names is
    turned once, so that no file explodes in memory, and it is known only after its end, so that none contains itself.
    """

    def __init__(self, events: Iterator[Event], mistakes: Mistakes) -> None:
        import yaml

        self._yaml = yaml
        self._events = events
        self._mistakes = mistakes
        self._resolver: Any = yaml.resolver.Resolver()
        self._constructor = yaml.constructor.SafeConstructor()
        self._anchors: dict[str, Item] = {}

    def document(self) -> Item:
        next(self._events)  # the stream starts
        if isinstance(next(self._events), self._yaml.StreamEndEvent):
            raise ManifestError("the file is empty")
        root = self._item(next(self._events), "", 0)
        next(self._events)  # the document ends
        after = next(self._events)
        if not isinstance(after, self._yaml.StreamEndEvent):
            raise ManifestError("a second YAML document starts here", line=_line(after))
        return root

    def _item(self, event: Event, path: str, depth: int) -> Item:
        line = _line(event)
        if depth > _DEEPEST:
            raise ManifestError(f"nested more than {_DEEPEST} deep", line=line)
        if isinstance(event, self._yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise ManifestError(f"the alias *{event.anchor} names nothing that ends before it", line=line)
            return self._anchors[event.anchor]
        if isinstance(event, self._yaml.MappingStartEvent):
            item = Item(line, self._mapping(path, depth))
        elif isinstance(event, self._yaml.SequenceStartEvent):
            item = Item(line, self._sequence(path, depth))
        else:
            item = self._scalar(event, line)
        if event.anchor:
            self._anchors[event.anchor] = item
        return item

    def _mapping(self, path: str, depth: int) -> dict[str, Item]:
        entries: dict[str, Item] = {}
        while not isinstance(event := next(self._events), self._yaml.MappingEndEvent):
            key = self._item(event, path, depth + 1)
            line = _line(event)
            inner = f"{path}.{key.text}" if path else key.text
            value = self._item(next(self._events), inner, depth + 1)
            if isinstance(key.value, Mapping | tuple):
                self._mistakes.add(path or "file", line, "a key must be plain text")
            elif key.text in entries:
                self._mistakes.add(inner, line, f"given twice, first in line {entries[key.text].line}")
            else:
                entries[key.text] = Item(line, value.value, value.text)
        return entries

    def _sequence(self, path: str, depth: int) -> tuple[Item, ...]:
        items: list[Item] = []
        while not isinstance(event := next(self._events), self._yaml.SequenceEndEvent):
            items.append(replace(self._item(event, f"{path}[{len(items)}]", depth + 1), line=_line(event)))
        return tuple(items)

    def _scalar(self, event: Event, line: int) -> Item:
        """Dates, and values whose tag does not fit them, stay text: the schema then says what it wants instead."""
        tag = event.tag or self._resolver.resolve(self._yaml.ScalarNode, event.value, event.implicit)
        if tag.rpartition(":")[2] in ("null", "bool", "int", "float"):
            try:
                return Item(line, self._constructor.construct_object(self._yaml.ScalarNode(tag, event.value)), event.value)
            except (ValueError, KeyError):  # such as !!int "many", !!bool "perhaps"
                pass
        return Item(line, event.value, event.value)


def _line(event: Event) -> int:
    return int(event.start_mark.line) + 1
