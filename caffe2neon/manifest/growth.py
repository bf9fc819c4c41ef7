"""A new entry at the end of ``models``, written as text: all that people wrote, comments too, stays byte for byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from caffe2neon.errors import ManifestError
from caffe2neon.records import ModelSpec, PinnedFile


def with_entry(text: str, spec: ModelSpec) -> str:
    """The manifest ``text`` with ``spec`` after its last model.

    The caller validates the result: :func:`~caffe2neon.manifest.read_manifest` takes it as ``text``.

    Raises:
        ManifestError: ``models`` is missing, or not written in lines of their own.
    """
    lines = re.findall(r".*\n|.+", text)
    start = next((i for i, line in enumerate(lines) if re.fullmatch(r"models:\s*(#.*)?", line.rstrip())), None)
    if start is None:
        raise ManifestError("there is no line 'models:'", remedy="write it, with the entries indented below")
    inside = [i for i in range(start + 1, _end(lines, start)) if lines[i].strip() and not lines[i].lstrip().startswith("#")]
    indent = " " * (len(lines[inside[0]]) - len(lines[inside[0]].lstrip(" "))) if inside else "  "
    last = inside[-1] if inside else start
    new = "".join(f"{indent}{line}\n" for line in _entry_lines(spec))
    before = "".join(lines[: last + 1])
    gap = "\n" if before.endswith("\n") else "\n\n"
    return before + (gap if inside else gap[1:]) + new + "".join(lines[last + 1 :])


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


def _end(lines: list[str], start: int) -> int:
    """The line of the next top-level key, or the number of lines."""
    return next((i for i in range(start + 1, len(lines)) if re.match(r"[^\s#]", lines[i])), len(lines))


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
