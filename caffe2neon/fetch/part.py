"""A download that is not complete yet: kept in the cache, locked by one process, and gone on with by the next."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from caffe2neon.errors import FetchError, PublishError
from caffe2neon.fetch.http import sendable
from caffe2neon.files import BLOCK, cannot_write, read_json, sync_folder


@dataclass(frozen=True)
class Origin:
    """Where the bytes of a part are from: the address, and what the server calls this version of the file, as far as it says.

    ``whole``: the bytes are those of the file, not of a compressed transfer, so that the rest can be asked for.
    """

    url: str
    etag: str = ""
    modified: str = ""
    whole: bool = True

    @property
    def validator(self) -> str:
        """For ``If-Range``, which takes no weak tag (RFC 9110, 13.1.5); "" where there is none."""
        return self.modified if self.etag.startswith("W/") or not self.etag else self.etag


class Part:
    """The open, locked ``<target>.part``. Bytes are written as they come, unbuffered: a killed process loses none of them."""

    def __init__(self, target: Path, descriptor: int) -> None:
        self.target = target
        self.path = _part(target)
        self._descriptor = descriptor
        self._record = target.with_name(f"{target.name}.origin")

    @property
    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def origin(self) -> Origin:
        """Of the bytes that are there; an unreadable record is none."""
        try:
            origin = Origin(**read_json(self._record) or {})
            well_formed = isinstance(origin.url, str) and sendable(origin.etag) and sendable(origin.modified)
        except (PublishError, TypeError):
            return Origin("")
        return origin if well_formed else Origin("")

    def restart(self, origin: Origin) -> None:
        """Drop the bytes, then record where the next ones are from: never bytes under another's name, whenever the process dies.

        Half a record is no record, so it is written in place.
        """
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._record.write_text(json.dumps(asdict(origin), sort_keys=True), encoding="utf-8")

    def blocks(self) -> Iterator[bytes]:
        """What is there; writing goes on behind it."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        while block := os.read(self._descriptor, BLOCK):
            yield block

    def append(self, block: bytes) -> None:
        """Raises OSError where the disk is full; what fitted stays."""
        rest = memoryview(block)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def discard(self) -> None:
        """Forget all of it. The name goes last, as it is what the next process locks."""
        os.ftruncate(self._descriptor, 0)
        self._record.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def commit(self) -> None:
        """Give the complete file its name, last of all: a part without a record is as good, as it is complete."""
        os.fsync(self._descriptor)
        self._record.unlink(missing_ok=True)
        self.path.replace(self.target)
        sync_folder(self.target.parent)


@contextlib.contextmanager
def locked_part(target: Path, waiting: Callable[[], None]) -> Iterator[Part]:
    """The part of ``target``, held by this process alone; the kernel lets go of it when the process dies, however it dies.

    ``waiting`` is called once if another process has it. An empty part leaves no file behind.

    Raises:
        FetchError: it cannot be made, written or locked.
    """
    try:
        descriptor = _lock(target, waiting)
        try:
            part = Part(target, descriptor)
            try:
                yield part
            finally:
                if part.path.exists() and not part.size:
                    part.discard()
        finally:
            os.close(descriptor)
    except OSError as error:
        problem = cannot_write(target, error)
        raise FetchError(problem.message, remedy=problem.remedy, where=problem.where) from error


def _lock(target: Path, waiting: Callable[[], None]) -> int:
    """Whoever had the lock before may have renamed or removed the file that we waited for: then we lock the one of that name."""
    told = False
    while True:
        descriptor = os.open(_part(target), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not told:
                    waiting()
                    told = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), _part(target).stat(follow_symlinks=False)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")
