"""A published build: its id, its checksums, and whether it is all there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from caffe2neon.errors import PublishError
from caffe2neon.files import digest, json_bytes
from caffe2neon.records import JSON, Publication

#: In every build's folder, in the format of ``sha256sum``.
SUMS = "SHA256SUMS"


def build_id(inputs: Mapping[str, JSON]) -> str:
    """16 hex digits that change with anything in ``inputs``: digests of the files, options, the converter's version."""
    return hashlib.sha256(json_bytes(dict(inputs))).hexdigest()[:16]


def find_build(root: Path, name: str, build: str, *, verify: bool = False) -> Publication | None:
    """The build as it lies under ``root``, or None where it is missing or incomplete.

    Without ``verify`` this looks only whether every file of ``SHA256SUMS`` is there, which takes milliseconds; with it, the files
    are hashed too, and one that has changed or cannot be read makes the answer None.
    """
    return look_into(build_folder(root, name, build), name, build, verify=verify)


def look_into(folder: Path, name: str, build: str, *, verify: bool = False) -> Publication | None:
    """:func:`find_build` for a folder anywhere."""
    sums = _read_sums(folder / SUMS)
    if sums is None or not required(name) <= sums.keys():
        return None
    files = {file: folder / file for file in sums}
    if not all(path.is_file() for path in files.values()):
        return None
    try:
        if verify and any(digest(path) != sums[file] for file, path in files.items()):
            return None
        return Publication(name, build, folder, sums, {file: path.stat().st_size for file, path in files.items()})
    except OSError:
        return None


def required(name: str) -> set[str]:
    """The files without which a folder is no build of the model ``name``."""
    return {f"{name}.prm", "model.json"}


def build_folder(root: Path, name: str, build: str) -> Path:
    """``<root>/<name>/<build>``.

    Raises:
        PublishError: a name that would lead elsewhere.
    """
    for part in (name, build):
        if not part or part.startswith(".") or Path(part).name != part:
            raise PublishError(f"{part!r} cannot name a folder of the published zoo")
    return root / name / build


def format_sums(sums: Mapping[str, str]) -> bytes:
    """As ``sha256sum -c`` reads it."""
    return "".join(f"{sums[file]}  {file}\n" for file in sorted(sums)).encode()


def _read_sums(path: Path) -> dict[str, str] | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    matches = [re.fullmatch(r"([0-9a-f]{64})  ([^/]+)", line) for line in lines]
    return {match[2]: match[1] for match in matches if match} if all(matches) else None
