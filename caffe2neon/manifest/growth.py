"""A new entry at the end of ``models``, written as text: all that people wrote, comments too, stays byte for byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from caffe2neon.errors import ManifestError
from caffe2neon.manifest.document import read_text
from caffe2neon.records import ModelSpec, PinnedFile

_HEADER = "# The zoo: which Caffe models become neon models, and what must be true of each. `caffe2neon zoo check` looks at it.\n"
_NO_MODELS = "models: {}"
#: The key with nothing on its line, or with what YAML reads as no entries.
_MODELS = re.compile(r"models:\s*(\{\s*\}|null|~)?\s*(#.*)?")


def begin(path: Path) -> tuple[str, bool]:
    """The text of a manifest that may have no entries yet, such that it can be read and take one; and whether it had to be begun.

    It is begun where there is no file, or nothing but comments in it. Where ``models`` is missing or empty, that is written out.

    Raises:
        ManifestError: there is a file, but it cannot be read.
    """
    text = read_text(path) if path.exists() else _HEADER
    lines = _lines(text)
    if not any(_says(line) and line.rstrip() != "---" for line in lines):
        return f"{_ended(text)}schema: 1\n\n{_NO_MODELS}\n", True
    start = _start(lines)
    if start is not None and not _inside(lines, start):
        lines[start] = _MODELS.sub(lambda found: f"{_NO_MODELS}  {found[2] or ''}", lines[start].rstrip()).rstrip() + "\n"
    elif any(line.startswith("schema:") for line in lines) and not any(re.match(r"""["']?models\b""", line) for line in lines):
        lines = [_ended(text), f"\n{_NO_MODELS}\n"]
    return "".join(lines), False


def with_entry(text: str, spec: ModelSpec) -> str:
    """The manifest ``text`` with ``spec`` after its last model.

    The caller validates the result: :func:`~caffe2neon.manifest.read_manifest` takes it as ``text``.

    Raises:
        ManifestError: ``models`` is missing, or not written in lines of their own.
    """
    lines = _lines(text)
    start = _start(lines)
    if start is None:
        raise ManifestError("there is no line 'models:'", remedy="write it, with the entries indented below")
    found = _MODELS.fullmatch(lines[start].rstrip())
    if found and found[1]:
        lines[start] = f"models:  {found[2] or ''}".rstrip() + "\n"
    inside = _inside(lines, start)
    indent = " " * (len(lines[inside[0]]) - len(lines[inside[0]].lstrip(" "))) if inside else "  "
    last = inside[-1] if inside else start
    new = "".join(f"{indent}{line}\n" for line in _entry_lines(spec))
    before = _ended("".join(lines[: last + 1]))
    return before + ("\n" if inside else "") + new + "".join(lines[last + 1 :])


def entry_text(spec: ModelSpec) -> str:
    """The entry as YAML, two spaces a level: its files, input, licence and what is expected of it."""
    return "".join(f"{line}\n" for line in _entry_lines(spec))


def _entry_lines(spec: ModelSpec) -> Iterator[str]:
    yield f"{spec.name}:"
    for key, file in (("prototxt", spec.prototxt), ("caffemodel", spec.caffemodel)):
        yield f"  {key}:"
        yield from (f"    {line}" for line in _file_lines(file))
    if spec.input:
        yield f"  input: [{', '.join(map(str, spec.input))}]"
    yield f"  license: {_text(spec.license)}"
    if spec.expect != "published":
        yield f"  expect: {spec.expect}"
        yield f"  reason: {_text(spec.reason)}"


def _file_lines(file: PinnedFile) -> Iterator[str]:
    yield f"url: {_text(file.url)}"
    if file.member:
        yield f"member: {_text(file.member)}"
    if file.size is not None:
        yield f"size: {file.size}"
    yield f"{file.algorithm}: {_text(file.digest)}"


def _lines(text: str) -> list[str]:
    return re.findall(r".*\n|.+", text)


def _says(line: str) -> bool:
    """Whether it is more than a comment."""
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _ended(text: str) -> str:
    return text if text.endswith("\n") or not text else f"{text}\n"


def _start(lines: list[str]) -> int | None:
    """The line ``models:``, with the entries below it or with none."""
    return next((i for i, line in enumerate(lines) if _MODELS.fullmatch(line.rstrip())), None)


def _inside(lines: list[str], start: int) -> list[int]:
    """The lines of the entries, comments left out: up to the next top-level key, or the end."""
    end = next((i for i in range(start + 1, len(lines)) if re.match(r"[^\s#]", lines[i])), len(lines))
    return [i for i in range(start + 1, end) if _says(lines[i])]


def _text(value: str) -> str:
    """Plain where YAML reads that as the same text, else quoted.

    JSON's quotes are YAML's, but for characters that YAML takes for the end of a line, or will not have in a file at all.
    """
    import yaml

    try:
        plain = value.isprintable() and yaml.safe_load(value) == value
    except yaml.YAMLError:
        plain = False
    quoted = json.dumps(value, ensure_ascii=False)
    return value if plain else re.sub("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", lambda found: f"\\u{ord(found[0]):04x}", quoted)
