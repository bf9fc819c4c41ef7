"""One writer at a time in a published zoo."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the zoo's lock; the kernel lets go of it when the process dies, however it dies. Not to be nested.

    Raises:
        OSError: the lock file cannot be made.
    """
    descriptor = os.open(root / ".lock", os.O_CREAT | os.O_RDWR, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def claim(folder: Path) -> int | None:
    """Mark ``folder`` as in use by this process until the returned descriptor is closed; None where another process has done so.

    Raises:
        OSError: the folder is gone, or cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
