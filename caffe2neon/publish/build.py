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
    try:
        sums = parse_sums((folder / SUMS).read_bytes(), str(folder / SUMS))
    except (OSError, PublishError):
        return None
    if not required(name) <= sums.keys():
        return None
    files = {file: folder / file for file in sums}
    try:
        if not all(path.is_file() for path in files.values()):
            return None
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
        if not is_plain(part):
            raise PublishError(f"{part!r} cannot name a folder of the published zoo")
    return root / name / build


def format_sums(sums: Mapping[str, str]) -> bytes:
    """As ``sha256sum -c`` reads it."""
    return "".join(f"{sums[file]}  {file}\n" for file in sorted(sums)).encode()


def parse_sums(data: bytes, path: str) -> dict[str, str]:
    """File names to sha256, from the bytes of a ``SHA256SUMS`` that is called ``path``.

    Raises:
        PublishError: a line that is none, a name twice, or one that leads out of the build's folder.
    """
    sums: dict[str, str] = {}
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as error:
        raise PublishError("not a list of checksums: not UTF-8", path=path) from error
    for number, line in enumerate(lines, 1):
        match = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if match is None:
            raise PublishError("not a list of checksums, which says SHA-256, two blanks, name", path=path, line=number)
        if not is_plain(match[2]) or match[2] in sums or match[2] == SUMS:
            raise PublishError(f"{match[2]!r} cannot be a file of a build", path=path, line=number)
        sums[match[2]] = match[1]
    return sums


def is_plain(name: str) -> bool:
    """Whether ``name`` is that of a file in a folder on any system, and leads nowhere else."""
    return re.fullmatch(r"[^/\\:\x00-\x1f\x7f]+", name) is not None and not name.startswith(".")
