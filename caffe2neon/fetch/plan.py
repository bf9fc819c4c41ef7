"""Where a file could come from, decided by looking at names and sizes alone."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from caffe2neon.errors import FetchError
from caffe2neon.records import PinnedFile


@dataclass(frozen=True)
class Candidate:
    """One place to try.

    ``action`` is ``local`` (a path beside the manifest or a file URL, used where it lies), ``mirror`` (found in a ``--mirror``
    folder, used there too), ``cached`` or ``download``. ``path`` is the file on this machine; for ``download``, the one to be.
    """

    action: str
    url: str
    path: Path


def plan(
    pinned: PinnedFile, *, root: Path, cache: Path, mirrors: Sequence[Path] = (), offline: bool = False
) -> tuple[Candidate, ...]:
    """All places for ``pinned``, in the order in which :func:`fetch` tries them; empty only with ``offline``.

    What the manifest says is on this machine comes first, then files of the right name (and size, where one is given) anywhere in
    the ``mirrors`` folders, then the cache, then the URL and the entry's own mirrors. Nothing is read or hashed here: a dry run
    shows ``plan(...)[0].action``. For a member of an archive, the archive is planned.

    Args:
        root: the manifest's folder, where relative paths start.
        cache: holds a file under ``<algorithm>/<digest>``.
        offline: leave the network out.

    Raises:
        FetchError: a folder in ``mirrors`` is missing.
    """
    cached = cache / pinned.algorithm / pinned.digest
    stated = [_stated(url, root, cached) for url in (pinned.url, *pinned.mirrors)]
    here = [candidate for candidate in stated if candidate.action == "local" and candidate.path.is_file()]
    return (
        *here,
        *(Candidate("mirror", path.absolute().as_uri(), path) for folder in mirrors for path in _find(folder, pinned)),
        *([Candidate("cached", pinned.url, cached)] if cached.is_file() else []),
        *(candidate for candidate in stated if candidate not in here and not (offline and candidate.action == "download")),
    )


def lacking(pinned: PinnedFile, mirrors: Sequence[Path]) -> list[FetchError]:
    """Of each of the ``mirrors`` folders that has no candidate for ``pinned``, what was looked for in it."""
    size = "" if pinned.size is None else f" of {pinned.size} bytes"
    names = " or ".join(map(repr, _names(pinned)))
    return [
        FetchError(f"no file {names}{size} is in this folder or below it", path=str(folder))
        for folder in mirrors
        if not any(_find(folder, pinned))
    ]


def file_name(url: str) -> str:
    """The last part of a URL's path, as a file of it would be called."""
    return PurePosixPath(unquote(urlsplit(url).path)).name


def _stated(url: str, root: Path, cached: Path) -> Candidate:
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        return Candidate("download", url, cached)
    return Candidate("local", url, Path(unquote(parts.path)) if parts.scheme == "file" else root / url)


def _find(folder: Path, pinned: PinnedFile) -> Iterator[Path]:
    """Many models call their net ``deploy.prototxt``, so a folder may hold several of that name: the checksum tells them apart."""
    held = _held(folder)
    for name in _names(pinned):
        for path in held.get(name, ()):
            if path.is_file() and pinned.size in (None, path.stat().st_size):
                yield path


def _names(pinned: PinnedFile) -> list[str]:
    return sorted({file_name(url) for url in (pinned.url, *pinned.mirrors)})


@functools.cache
def _held(folder: Path) -> dict[str, list[Path]]:
    """The files of a mirror by name. It is looked through once a process: a manifest asks for a thousand files."""
    if not folder.is_dir():
        raise FetchError("no such mirror folder", path=str(folder), remedy="give --mirror a folder that exists")
    held: dict[str, list[Path]] = {}
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            held.setdefault(name, []).append(Path(parent, name))
    return held
