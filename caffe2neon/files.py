"""Writing files so that a reader sees the old bytes or the new ones, never half of either; hashing them; and folders
that are one process's for a while."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from caffe2neon.errors import PublishError
from caffe2neon.records import JSON

#: Bytes read at a time when hashing or copying.
BLOCK = 1 << 20


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that replaces ``path`` when the block ends without an exception; otherwise ``path`` stays as it was.

    Where the file system can hold a file without a name (Linux ``O_TMPFILE``), a killed process leaves nothing behind, unless it
    dies in the instant between a first name and the last; elsewhere it leaves a hidden ``.part`` file. Data reach the disk before
    the name does.

    Raises:
        PublishError: the folder is missing or read-only, ``path`` is a folder or a device, or the disk is
            full; nothing is left behind.
    """
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.part"
    try:
        _check_replaceable(path)
        descriptor, named = _open_temporary(path.parent, temporary)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            if not named:
                # A folder's descriptor makes Python call linkat(AT_SYMLINK_FOLLOW); plain link() would link the symlink itself.
                os.link(f"/proc/self/fd/{stream.fileno()}", temporary, src_dir_fd=stream.fileno(), follow_symlinks=True)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise cannot_write(path, error) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def open_path(stream: BinaryIO) -> Path:
    """A path by which others may read what was written to ``stream`` so far, while it has no name yet."""
    return Path(f"/proc/{os.getpid()}/fd/{stream.fileno()}")


def write_bytes(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``, all or nothing; see :func:`atomic_write`."""
    with atomic_write(path) as stream:
        stream.write(data)


def json_bytes(value: JSON) -> bytes:
    """The one way in which this project writes JSON: sorted keys, so that the same value is the same bytes.

    Raises:
        ValueError: a number that JSON has no form for (NaN, infinity).
    """
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_json(path: Path, *, remedy: str = "") -> dict[str, Any] | None:
    """The JSON object in a file; None where there is no such file, or something else in it, such as null.

    Raises:
        PublishError: it cannot be read, or is not JSON; ``remedy`` says what to do about the latter.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PublishError(f"cannot read: {error.strerror}", path=str(path)) from error
    try:
        value = parse_json(data)
    except ValueError as error:
        raise PublishError(f"not JSON: {error}", path=str(path), remedy=remedy) from error
    return value if isinstance(value, dict) else None


def parse_json(data: bytes) -> JSON:
    """What :func:`json_bytes` can write again.

    Raises:
        ValueError: it is not JSON; or what Python reads beyond that, NaN, infinity and halves of characters.
    """
    try:
        value: JSON = json.loads(data, parse_constant=_refuse, parse_float=_finite)
    except RecursionError as error:  # thousands of brackets, one within the other
        raise ValueError(str(error)) from error
    if b"\\ud" in data.lower():
        json_bytes(value)  # no UTF-8 for half a pair
    return value


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)


def digest(path: Path, algorithm: str = "sha256", advance: Callable[[int], None] = lambda _: None) -> str:
    """Hash a file without holding it in memory; ``advance`` is told the bytes read since the last call."""
    state = hashlib.new(algorithm)
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            state.update(block)
            advance(len(block))
    return state.hexdigest()


def _check_replaceable(path: Path) -> None:
    """Now, not when all has been computed and the rename fails, or when root has replaced /dev/null by a file."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "a device or a pipe, not a file")


def _open_temporary(folder: Path, temporary: Path) -> tuple[int, bool]:
    """A descriptor to write to, and whether the file already has the name ``temporary``."""
    if hasattr(os, "O_TMPFILE") and Path("/proc/self/fd").is_dir():
        try:
            return os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o666), False
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                raise
    return os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666), True


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def claim(folder: Path) -> int | None:
    """Mark ``folder`` as in use by this process until the returned descriptor is closed; None where another process has done so.

    The kernel closes it when the process dies, however it dies.

    Raises:
        OSError: the folder is gone, or cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def remove_abandoned(parent: Path, pattern: str = "*") -> None:
    """Remove every folder in ``parent`` that no living process has claimed; what is somebody else's stays.

    Folders are claimed right after they are made: that must be seen to, by a lock around both and around this, or by whoever makes
    one and finds it gone.
    """
    for folder in parent.glob(pattern):
        with contextlib.suppress(OSError):
            claimed = claim(folder)
            if claimed is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(claimed)


def cannot_write(path: Path, error: OSError) -> PublishError:
    """``error`` in our words, with what to do about it."""
    missing = not path.parent.is_dir()  # a file system such as /proc says ENOENT of a folder that is there
    remedy = {
        errno.ENOSPC: "free some space, or write to another disk",
        errno.ENOENT: f"make the folder first: mkdir -p {path.parent}" if missing else "name another folder",
        errno.EACCES: "check who may write to that folder",
        errno.EROFS: "that disk is mounted read-only",
        errno.EISDIR: "name a file in it",
        errno.EFBIG: "write to a disk, or under a limit (ulimit -f), that takes files of this size",
    }.get(error.errno or 0, "")
    return PublishError(f"cannot write: {error.strerror or error}", path=str(path), remedy=remedy)
