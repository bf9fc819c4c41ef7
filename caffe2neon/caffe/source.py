"""Opening the user's files: what can go wrong before the first byte is understood."""

from __future__ import annotations

import stat
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

from caffe2neon.errors import ParseError

#: What a file begins with that was meant to be Caffe's, but is something else.
_SIGNATURES = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a zip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x89PNG", "a PNG picture"),
    (b"version https://git-lfs", "a Git LFS pointer"),
)
_PAGES = (b"<!doctype", b"<html", b"<head", b"<body", b"<script", b"<?xml", b"<!--")
_REMEDIES = {
    "an HTML page": "the address leads to a page about the file, or to an error: download the file itself",
    "a Git LFS pointer": "it stands for the file: fetch the real one with `git lfs pull`, or download it",
    "an HDF5 file": "load it in Caffe and save it again as a binary .caffemodel (solver: snapshot_format: BINARYPROTO)",
}
#: How many bytes tell what a file is.
HEAD = 4096
#: Bytes that no text has: control characters other than white space.
CONTROL = bytes([*range(9), *range(14, 32), 127])


def open_file(path: Path) -> tuple[BinaryIO, int]:
    """A file open for reading, and its size in bytes, which is not 0.

    Raises:
        ParseError: it is missing, unreadable, empty, or no ordinary file (a pipe would block, a directory has no bytes).
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ParseError("this is a directory, a file is needed", path=str(path), remedy="name the file inside it")
        if not stat.S_ISREG(status.st_mode):
            raise ParseError("this is not an ordinary file", path=str(path), remedy="copy what it delivers to a file first")
        if status.st_size == 0:
            raise ParseError("the file is empty", path=str(path), remedy="download it again")
        return path.open("rb"), status.st_size
    except (OSError, ValueError) as error:
        raise cannot_read(path, error) from error


def map_file(path: Path) -> mmap:
    """A file in memory, of which only what is looked at is read; the map keeps it open.

    Raises:
        ParseError: as :func:`open_file`, or it cannot be mapped.
    """
    stream, _ = open_file(path)
    with stream:
        try:
            return mmap(stream.fileno(), 0, access=ACCESS_READ)
        except (OSError, ValueError) as error:
            raise cannot_read(path, error) from error


def cannot_read(path: Path, error: Exception) -> ParseError:
    remedies: dict[type[Exception], str] = {
        FileNotFoundError: "check the name and the folder",
        PermissionError: "ask its owner for permission to read it",
    }
    remedy = remedies.get(type(error), "")
    return ParseError(f"cannot read: {getattr(error, 'strerror', None) or error}", path=str(path), remedy=remedy)


def foreign(head: bytes) -> tuple[str, str]:
    """What a file is that begins with ``head``, and a remedy; two empty strings where it may well be Caffe's."""
    if head.lstrip().lower().startswith(_PAGES):
        return "an HTML page", _REMEDIES["an HTML page"]
    kind = next((kind for signature, kind in _SIGNATURES if head.startswith(signature)), "")
    return kind, _REMEDIES.get(kind, f"unpack it first: {kind} is not read" if kind.endswith("archive") else "name another file")


def is_text(head: bytes) -> bool:
    """Whether bytes could be text. A binary net never is: the tag of a layer has a control character (0x12, or 0xA2 0x06)."""
    return len(head.translate(None, CONTROL)) == len(head)
