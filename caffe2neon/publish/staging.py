"""A build is prepared out of sight and appears in one step, complete, or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from caffe2neon.errors import PublishError
from caffe2neon.files import cannot_write, claim, digest, json_bytes, remove_abandoned, sync_folder, write_bytes
from caffe2neon.publish.build import SUMS, build_folder, find_build, format_sums, look_into, required
from caffe2neon.publish.index import next_index, write_index
from caffe2neon.publish.lock import locked
from caffe2neon.publish.provenance import PROVENANCE
from caffe2neon.records import JSON, Publication

#: Made of the names and sha256 of all other files of the build.
Statement: TypeAlias = Callable[[Mapping[str, str]], JSON]

#: Under the zoo's root, so that the last step is a rename within one file system; the name is hidden from listings.
STAGING = ".staging"


@dataclass(frozen=True)
class StagedBuild:
    """A build in the making: write its files into ``folder`` (no folders within), then call :meth:`commit`."""

    root: Path
    name: str
    build: str
    folder: Path

    def commit(self, statement: Statement | None = None) -> Publication:
        """Add ``provenance.json``, which ``statement`` makes of the others, and ``SHA256SUMS``, bring all to the disk, move the
        folder to ``<root>/<name>/<build>``, and then rewrite ``index.json``.

        Builds are immutable: where an intact one of this id exists by now (another process was faster), it stays, ``folder`` is
        thrown away and the answer is the existing one. A damaged one is replaced.

        Raises:
            PublishError: ``<name>.prm`` or ``model.json`` is missing, the disk is full, or the index cannot be understood.
        """
        try:
            made = self._seal(statement)
            with locked(self.root):
                existing = find_build(self.root, self.name, self.build, verify=True)
                index = next_index(self.root, existing or made)  # first: it may fail, and then nothing must show
                publication = existing or replace(made, path=self._move())
                write_index(self.root, index)
        except OSError as error:
            raise cannot_write(Path(error.filename or self.folder), error) from error
        return publication

    def _seal(self, statement: Statement | None) -> Publication:
        files = sorted(path.name for path in self.folder.iterdir())
        if missing := sorted(required(self.name) - set(files)):
            raise PublishError(f"the build is not complete: {', '.join(missing)} missing", model=self.name)
        sums = {file: digest(self.folder / file) for file in files}
        if statement is not None:
            data = json_bytes(statement(dict(sums)))
            write_bytes(self.folder / PROVENANCE, data)
            sums[PROVENANCE] = hashlib.sha256(data).hexdigest()
        write_bytes(self.folder / SUMS, format_sums(sums))
        for file in sums:
            _sync_file(self.folder / file)
        sync_folder(self.folder)
        made = look_into(self.folder, self.name, self.build)
        if made is None:
            raise PublishError("files vanished while they were published", path=str(self.folder))
        return made

    def _move(self) -> Path:
        target = build_folder(self.root, self.name, self.build)
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            target.rename(self.folder.with_name(f"{self.folder.name}-replaced"))
        self.folder.rename(target)
        sync_folder(target.parent)
        sync_folder(self.root)
        return target


@contextlib.contextmanager
def staged_build(root: Path, name: str, build: str) -> Iterator[StagedBuild]:
    """A hidden folder to prepare a build in; it is removed at the end unless it was committed.

    ``root`` is made where it is missing. What killed processes left behind is cleared away first; folders of living ones stay::

        with staged_build(root, name, build_id(inputs)) as stage:
            ...  # write <name>.prm, model.json, parity.json, evaluation.json and the prototxt into stage.folder
            publication = stage.commit()

    Raises:
        PublishError: the folder cannot be made, or the disk is full.
    """
    build_folder(root, name, build)
    staging = root / STAGING
    folder = staging / f"{name}-{build}-{secrets.token_hex(4)}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with locked(root):
            staging.mkdir(exist_ok=True)
            remove_abandoned(staging)
            folder.mkdir()
            claimed = claim(folder)
    except OSError as error:
        raise cannot_write(Path(error.filename or folder), error) from error
    try:
        yield StagedBuild(root, name, build, folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise cannot_write(Path(error.filename or folder), error) from error
        raise
    finally:
        if claimed is not None:
            os.close(claimed)
        clear_abandoned(root)


def clear_abandoned(root: Path) -> None:
    """Remove what processes that died, or were stopped while they cleared up, left of builds in the making."""
    staging = root / STAGING
    with contextlib.suppress(OSError), locked(root):
        remove_abandoned(staging)
        staging.rmdir()  # fails while others prepare builds


def _sync_file(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
