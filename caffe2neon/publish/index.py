"""``index.json``: what a published zoo holds, written last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from caffe2neon.errors import PublishError
from caffe2neon.files import cannot_write, json_bytes, parse_json, write_bytes
from caffe2neon.publish.build import is_plain, look_into
from caffe2neon.publish.fields import Fields
from caffe2neon.publish.lock import locked
from caffe2neon.publish.measured import EVALUATION, PARITY, read_record
from caffe2neon.records import JSON, Publication

INDEX = "index.json"
SCHEMA = 1


@dataclass(frozen=True)
class Entry:
    """What the index says of a model; ``parity`` is a number, or its name where JSON has no form for it.

    ``files`` maps names to sha256, ``sizes`` to bytes; ``accuracy`` maps ``top1``… to percent.
    """

    name: str
    build: str
    files: Mapping[str, str]
    sizes: Mapping[str, int]
    accuracy: Mapping[str, float] | None
    parity: float | str | None


def update_index(root: Path, publication: Publication) -> None:
    """Make ``publication`` its model's current build in ``index.json``; nothing is written where it is that already.

    The file is ``{"schema": 1, "models": {name: {"build", "path", "files", "accuracy", "parity"}}}``: ``files`` maps names to
    ``{"sha256", "size"}``; ``accuracy`` is ``{"top1": percent, …}`` from the build's ``evaluation.json``, ``parity`` the worst
    error from its ``parity.json`` (both records as JSON), null without them. Entries of other models stay as they are. Safe under
    concurrent processes.

    Raises:
        PublishError: the index there is cannot be understood, the new one cannot be written, or the build is gone.
    """
    try:
        with locked(root):
            if look_into(publication.path, publication.name, publication.build) is None:  # pruned since it was found
                raise PublishError("the build was removed meanwhile", path=str(publication.path), remedy="build it again")
            write_index(root, next_index(root, publication))
    except OSError as error:
        raise cannot_write(root / INDEX, error) from error


def next_index(root: Path, publication: Publication) -> bytes:
    """The index under ``root`` with ``publication`` in it. The caller holds the lock."""
    index = read_index(root)
    index["models"][publication.name] = entry_json(publication)
    return json_bytes(index)


def write_index(root: Path, index: bytes) -> None:
    """Write the index unless it is so already. The caller holds the lock."""
    for stale in root.glob(f".{INDEX}.*.part"):  # of a killed process: nobody else writes while we hold the lock
        stale.unlink(missing_ok=True)
    path = root / INDEX
    if not path.exists() or path.read_bytes() != index:
        write_bytes(path, index)


def read_index(root: Path) -> dict[str, Any]:
    """The index under ``root``, or an empty one where there is none yet.

    Raises:
        PublishError: it is damaged, or of another schema.
    """
    path = root / INDEX
    try:
        return parse_index(path.read_bytes(), str(path))
    except FileNotFoundError:
        return {"schema": SCHEMA, "models": {}}
    except OSError as error:
        raise PublishError(f"cannot read: {error.strerror}", path=str(path)) from error


def current_builds(root: Path) -> Mapping[str, str]:
    """The build that the index under ``root`` names for each model. It is parsed once for as long as it stays the same file.

    Raises:
        PublishError: it is damaged, or of another schema.
    """
    try:
        state = (root / INDEX).stat()
    except OSError:
        return _builds(root, None)  # which says what is wrong, if anything is
    return _builds(root, (state.st_ino, state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=1)
def _builds(root: Path, state: tuple[int, ...] | None) -> Mapping[str, str]:  # noqa: ARG001 - part of the key
    return MappingProxyType({name: entry["build"] for name, entry in read_index(root)["models"].items()})


def parse_index(data: bytes, path: str) -> dict[str, Any]:
    """The bytes of an index that is called ``path``.

    Raises:
        PublishError: it is damaged, or of another schema.
    """
    try:
        index = parse_json(data)
    except ValueError as error:
        remedy = "move it away and publish all models again: a new one is made, and complete builds are not rebuilt"
        raise PublishError(f"not the index of a zoo: {error}", path=path, remedy=remedy) from error
    if not isinstance(index, dict) or index.get("schema") != SCHEMA or not isinstance(index.get("models"), dict):
        raise PublishError(f"not the index of a zoo with schema {SCHEMA}", path=path, remedy="publish to another folder")
    models: dict[str, Any] = index["models"]  # type: ignore[assignment]
    for name, record in models.items():
        _fields(name, record, path).text("build")
    return index


def entries(index: Mapping[str, Any], path: str) -> dict[str, Entry]:
    """The models of an index that is called ``path``, by name, in the order of their names.

    Raises:
        PublishError: an entry says too little to find the build by, or what makes no sense, such as a size below 0; or it names
            folders or files that lead elsewhere.
    """
    return {name: _entry(name, record, path) for name, record in sorted(index["models"].items())}


def _entry(name: str, record: object, path: str) -> Entry:
    entry = _fields(name, record, path)
    build, files = entry.text("build"), entry.named("files")
    if not all(map(is_plain, (name, build, *files))):
        raise PublishError("the entry names a folder or a file that leads elsewhere", model=name, path=path)
    accuracy = entry.inner("accuracy").percents() if "accuracy" in entry else None
    return Entry(
        name,
        build,
        {file: facts.digest("sha256") for file, facts in files.items()},
        {file: facts.count("size") for file, facts in files.items()},
        accuracy or None,
        entry.number_or_word("parity") if "parity" in entry else None,
    )


def _fields(name: str, record: object, path: str) -> Fields:
    return Fields(record, "not an entry of a zoo's index", model=name, path=path)


def entry_json(publication: Publication) -> JSON:
    """What the index says of a build that lies in a folder."""
    return described(publication, read_record(publication.path / EVALUATION), read_record(publication.path / PARITY))


def described(publication: Publication, evaluation: Fields | None, parity: Fields | None) -> JSON:
    """What the index says of a build that lies anywhere, with the records it holds."""
    topk = evaluation.each("topk") if evaluation else ()
    return {
        "build": publication.build,
        "path": f"{publication.name}/{publication.build}",
        "files": {file: {"sha256": sha256, "size": publication.sizes[file]} for file, sha256 in publication.files.items()},
        "accuracy": {f"top{row.count('k')}": row.number("percent", 0, 100) for row in topk} if evaluation else None,
        "parity": parity.number_or_word("worst") if parity else None,
    }
