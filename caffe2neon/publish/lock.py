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
