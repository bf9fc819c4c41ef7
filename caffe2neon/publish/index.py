"""``index.json``: what a published zoo holds, written last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from caffe2neon.errors import PublishError
from caffe2neon.files import cannot_write, json_bytes, write_bytes
from caffe2neon.publish.lock import locked
from caffe2neon.publish.measured import EVALUATION, PARITY, read_record
from caffe2neon.records import JSON, Publication

INDEX = "index.json"
SCHEMA = 1


def update_index(root: Path, publication: Publication) -> None:
    """Make ``publication`` its model's current build in ``index.json``; nothing is written where it is that already.

    The file is ``{"schema": 1, "models": {name: {"build", "path", "files", "accuracy", "parity"}}}``: ``files`` maps names to
    ``{"sha256", "size"}``; ``accuracy`` is ``{"top1": percent, …}`` from the build's ``evaluation.json``, ``parity`` the worst
    error from its ``parity.json`` (both records as JSON), null without them. Entries of other models stay as they are. Safe under
    concurrent processes.

    Raises:
        PublishError: the index there is cannot be understood, or the new one cannot be written.
    """
    try:
        with locked(root):
            write_index(root, next_index(root, publication))
    except OSError as error:
        raise cannot_write(root / INDEX, error) from error


def next_index(root: Path, publication: Publication) -> bytes:
    """The index under ``root`` with ``publication`` in it. The caller holds the lock."""
    index = read_index(root)
    index["models"][publication.name] = _entry(publication)
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
        index = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {"schema": SCHEMA, "models": {}}
    except OSError as error:
        raise PublishError(f"cannot read: {error.strerror}", path=str(path)) from error
    except ValueError as error:
        remedy = "move it away and publish all models again: a new one is made, and complete builds are not rebuilt"
        raise PublishError(f"not the index of a zoo: {error}", path=str(path), remedy=remedy) from error
    if not isinstance(index, dict) or index.get("schema") != SCHEMA or not isinstance(index.get("models"), dict):
        raise PublishError(f"not the index of a zoo with schema {SCHEMA}", path=str(path), remedy="publish to another folder")
    return index


def _entry(publication: Publication) -> JSON:
    evaluation = read_record(publication.path / EVALUATION)
    parity = read_record(publication.path / PARITY)
    return {
        "build": publication.build,
        "path": f"{publication.name}/{publication.build}",
        "files": {file: {"sha256": sha256, "size": publication.sizes[file]} for file, sha256 in publication.files.items()},
        "accuracy": {f"top{entry['k']}": entry["percent"] for entry in evaluation["topk"]} if evaluation else None,
        "parity": parity["worst"] if parity else None,
    }
