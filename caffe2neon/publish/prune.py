"""Builds that the index no longer names."""

from __future__ import annotations

import contextlib
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from caffe2neon.errors import PublishError
from caffe2neon.files import cannot_write, remove_abandoned, sync_folder
from caffe2neon.publish.build import SUMS, is_plain
from caffe2neon.publish.index import INDEX, entries, read_index
from caffe2neon.publish.lock import locked
from caffe2neon.publish.staging import STAGING


@dataclass(frozen=True)
class Stale:
    """A build that nobody finds by the index; ``size`` in bytes."""

    name: str
    build: str
    path: Path
    size: int


def stale_builds(root: Path) -> tuple[Stale, ...]:
    """The builds under ``root`` that the index does not name, by name and build; other files and folders are not looked at.

    Raises:
        PublishError: there is no index to go by, or it cannot be understood.
    """
    if not (root / INDEX).is_file():
        raise PublishError(f"not a published zoo: it has no {INDEX}", path=str(root))
    current = {(entry.name, entry.build) for entry in entries(read_index(root), str(root / INDEX)).values()}
    try:
        builds = [build for name in root.iterdir() if _is_folder(name) for build in name.iterdir() if _is_build(build)]
        return tuple(
            Stale(path.parent.name, path.name, path, sum(file.stat().st_size for file in path.iterdir()))
            for path in sorted(builds)
            if (path.parent.name, path.name) not in current
        )
    except OSError as error:
        raise PublishError(f"cannot read: {error.strerror}", path=str(error.filename or root)) from error


def prune(root: Path) -> tuple[Stale, ...]:
    """Remove :func:`stale_builds`; each vanishes in one step.

    Raises:
        PublishError: as there, or a folder cannot be removed.
    """
    try:
        with locked(root):
            stale = stale_builds(root)
            if not stale:
                return stale
            staging = root / STAGING
            staging.mkdir(exist_ok=True)
            for build in stale:
                build.path.rename(staging / f"{build.name}-{build.build}-{secrets.token_hex(4)}-pruned")
                with contextlib.suppress(OSError):  # of a model that has other builds
                    build.path.parent.rmdir()
            sync_folder(root)
            remove_abandoned(staging)
            with contextlib.suppress(OSError):  # others prepare builds in it
                staging.rmdir()
            return stale
    except OSError as error:
        raise cannot_write(Path(error.filename or root), error) from error


def _is_folder(path: Path) -> bool:
    return is_plain(path.name) and path.is_dir() and not path.is_symlink()


def _is_build(path: Path) -> bool:
    """By its name or its list of checksums; what people put there themselves is not ours to remove."""
    return _is_folder(path) and (re.fullmatch(r"[0-9a-f]{16}", path.name) is not None or (path / SUMS).is_file())
