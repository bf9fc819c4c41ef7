"""One file out of a zip or tar archive, whoever made it: nothing is ever written where a name inside says."""

from __future__ import annotations

import bz2
import difflib
import gzip
import hashlib
import io
import lzma
import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from caffe2neon.errors import FetchError, PublishError
from caffe2neon.files import BLOCK, atomic_write
from caffe2neon.records import FetchedFile, Progress

#: No caffemodel comes near this; an archive that unpacks to more is a bomb.
_LARGEST = 16 << 30
#: What tarfile may want at once: it reads the long names of a header in one piece.
_LARGEST_READ = 32 << 20
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError)
_OPENERS: tuple[tuple[bytes, Callable[[IO[bytes]], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\0", lzma.open),
)


def extract(archive: FetchedFile, member: str, target: Path, progress: Progress) -> FetchedFile:
    """Copy ``member`` of an archive to ``target``, all or nothing; the archive's bytes were checked before.

    Zip; tar, plain or compressed by gzip, bzip2 or xz: told apart by content.

    Raises:
        FetchError: no archive, a damaged one, or one that does not hold ``member`` once, as a plain file of sensible size.
    """
    wanted, state, count = _normal(member), hashlib.sha256(), 0
    try:
        with atomic_write(target) as output:
            for block in _content(archive.path, wanted):
                output.write(block)
                state.update(block)
                count += len(block)
                progress(f"unpack {posixpath.basename(wanted)}", count, None)
    except PublishError as error:
        raise FetchError(error.message, remedy=error.remedy, where=error.where) from error
    return FetchedFile(target, archive.url, state.hexdigest(), count)


def _content(path: Path, wanted: str) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            yield from _from_zip(stream, wanted) if zipfile.is_zipfile(stream) else _from_tar(stream, wanted)
    except _DAMAGE as error:
        raise FetchError(f"a damaged archive: {error or type(error).__name__}") from error


def _from_zip(stream: IO[bytes], wanted: str) -> Iterator[bytes]:
    with zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
        found = [entry for entry in entries if _normal(entry.filename) == wanted and not entry.is_dir()]
        _require_one(found, wanted, [entry.filename for entry in entries])
        if (found[0].external_attr >> 16) & 0o170000 not in (0, 0o100000):
            raise FetchError(f"{wanted!r} in the archive is a link or a device, not a file")
        if found[0].flag_bits & 1:
            raise FetchError("the archive is encrypted")
        with archive.open(found[0]) as content:
            yield from _blocks(content)


def _from_tar(stream: IO[bytes], wanted: str) -> Iterator[bytes]:
    """All headers are read, behind the member, too: of two files of one name tar means the last, and others the first."""
    stream.seek(0)
    head = stream.read(6)
    stream.seek(0)
    opener = next((opener for signature, opener in _OPENERS if head.startswith(signature)), None)
    found, names = [], []
    with _opened(_Bounded(opener(stream) if opener else stream)) as archive:
        for entry in archive:
            names.append(entry.name)
            if _normal(entry.name) != wanted or entry.isdir():
                continue
            found.append(entry)
            file = archive.extractfile(entry) if entry.isreg() else None
            if file is None:
                raise FetchError(f"{wanted!r} in the archive is a link or a device, not a file")
            if len(found) == 1:
                yield from _blocks(file)
    _require_one(found, wanted, names)


def _opened(content: _Bounded) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=content, mode="r:")
    except tarfile.ReadError as error:
        raise FetchError("neither a zip nor a tar archive") from error


def _require_one(found: Sequence[object], wanted: str, names: Sequence[str]) -> None:
    if len(found) > 1:
        raise FetchError(f"the archive holds {wanted!r} {len(found)} times")
    if not found:
        near = difflib.get_close_matches(wanted, [_normal(name) for name in names], n=3, cutoff=0.3)
        held = f"; it holds {', '.join(repr(name) for name in near)}" if near else ""
        raise FetchError(f"the archive does not hold {wanted!r}{held}", remedy="correct 'member' in the manifest")


def _blocks(content: IO[bytes]) -> Iterator[bytes]:
    left = _LARGEST
    while block := content.read(BLOCK):
        left -= len(block)
        if left < 0:
            raise _too_large()
        yield block


def _normal(name: str) -> str:
    return posixpath.normpath(name)


def _too_large() -> FetchError:
    return FetchError(f"the archive unpacks to more than {_LARGEST >> 30} GiB, which no model needs")


class _Bounded(io.RawIOBase):
    """A decompressed stream that refuses to go on without end, or to put much into memory at once."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET and offset > _LARGEST:
            raise _too_large()
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_READ:
            raise _too_large()
        return self._stream.read(size)
