"""A published zoo copied to another place: builds first, each complete before it is called so, and the index last."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caffe2neon.errors import PublishError, located
from caffe2neon.files import digest, json_bytes, write_bytes
from caffe2neon.publish.build import SUMS, find_build, format_sums, parse_sums, required
from caffe2neon.publish.fields import Fields
from caffe2neon.publish.index import INDEX, SCHEMA, described, entries, entry_json, parse_index, read_index, update_index
from caffe2neon.publish.measured import EVALUATION, PARITY, record_of
from caffe2neon.publish.place import Folder, Place, Store, blocks
from caffe2neon.publish.staging import staged_build
from caffe2neon.records import JSON, Progress, Publication, no_progress

PAGE = "index.html"

#: Whoever loses a race for the index tries again; with this many at once something else is wrong.
_RACES = 50


@dataclass(frozen=True)
class Copied:
    """What became of a model. ``status``: published, unchanged, or kept: another build of the same id was there first.

    ``uploaded`` counts the bytes that went there, the small lists left out.
    """

    name: str
    build: str
    status: str
    uploaded: int = 0

    @property
    def reason(self) -> str:
        return {
            "published": "",
            "unchanged": "is there already",
            "kept": "a build of the same inputs with other bytes was there first, and stays",
        }[self.status]


def publish_zoo(
    source: Path, target: Place, progress: Progress = no_progress, *, builds: Mapping[str, str] | None = None
) -> Iterator[Copied]:
    """Copy every model that the index of the folder ``source`` names to ``target``, and merge them into the index there.

    With ``builds``, by name, it is these and no others, whatever else the index names.

    What is there already is not sent again. Killed at any moment, it leaves nothing half-visible, and the next run goes on. The
    page (``index.html``) goes along where the indexes then say the same, so that it never tells of other models.

    Several at once: the builds of each are whole. Folders and S3 merge the indexes of all; in a store that cannot write
    on a condition, an index written in the same instant may lose the other's entry until that one publishes again.

    Raises:
        PublishError: ``source`` is no published zoo or a file there has changed, or ``target`` cannot be written.
    """
    if not (source / INDEX).is_file():
        raise PublishError("not a published zoo: it has no index.json", path=str(source), remedy="make one: caffe2neon zoo build")
    index = read_index(source)
    if builds is None:
        builds = {name: entry.build for name, entry in entries(index, str(source / INDEX)).items()}
    chosen = [_local(source, name, build) for name, build in builds.items()]
    if isinstance(target, Folder):
        for publication in chosen:
            with located(model=publication.name):
                yield _to_folder(publication, target.root, progress)
        merged = read_index(target.root)
    else:
        records: dict[str, JSON] = {}
        for publication in chosen:
            with located(model=publication.name):
                copied, records[publication.name] = _to_store(publication, target, progress)
                yield copied
        merged = _merge(target, records)
    _copy_page(source, index, target, merged)


def _local(source: Path, name: str, build: str) -> Publication:
    publication = find_build(source, name, build)
    if publication is None:
        path, remedy = str(source / name / build), "build the model again: caffe2neon zoo build"
        raise PublishError("the build is not complete", model=name, path=path, remedy=remedy)
    return publication


def _to_folder(publication: Publication, root: Path, progress: Progress) -> Copied:
    name, build = publication.name, publication.build
    existing = find_build(root, name, build)
    if existing is not None and (existing.files, existing.sizes) == (publication.files, publication.sizes):
        update_index(root, existing)
        return Copied(name, build, "unchanged")
    with staged_build(root, name, build) as stage:
        for file in publication.files:
            _copy(publication, file, stage.folder, progress)
        made = stage.commit()
    kept = made.files != publication.files
    return Copied(name, build, "kept" if kept else "published", 0 if kept else sum(publication.sizes.values()))


def _copy(publication: Publication, file: str, folder: Path, progress: Progress) -> None:
    state, done, size = hashlib.sha256(), 0, publication.sizes[file]
    with (publication.path / file).open("rb") as source, (folder / file).open("wb") as copy:
        for block in blocks(source):
            state.update(block)
            copy.write(block)
            done += len(block)
            progress(f"copy {publication.name}/{file}", done, size)
    _require_sum(publication, file, state.hexdigest())


def _require_sum(publication: Publication, file: str, sha256: str) -> None:
    if sha256 != publication.files[file]:
        remedy = "remove that build's folder, and build the model again"
        raise PublishError(f"the file has changed since {SUMS} was written", path=str(publication.path / file), remedy=remedy)


def _to_store(publication: Publication, store: Store, progress: Progress) -> tuple[Copied, JSON]:
    """The files, then ``SHA256SUMS``: with it a build is complete. The answer's second part is for the index.

    Two publishers of one build with different bytes (measured on two kinds of processor, say): whoever writes ``SHA256SUMS`` last
    looks at the files after that and mends them; by then the other has written all of its own.
    """
    name, build = publication.name, publication.build
    folder = f"{name}/{build}"
    existing = _complete(publication, store, folder)
    if existing is not None:
        if existing.files != publication.files:
            return Copied(name, build, "kept"), _record(existing, store, folder)
        return Copied(name, build, "unchanged"), entry_json(publication)
    sent = sum(_send(publication, file, store, folder, progress) for file in _wrong(publication, store, folder))
    store.write(f"{folder}/{SUMS}", format_sums(publication.files))
    for file in _wrong(publication, store, folder, at_most=1 << 20):
        sent += _send(publication, file, store, folder, progress)
    return Copied(name, build, "published", sent), entry_json(publication)


def _complete(publication: Publication, store: Store, folder: str) -> Publication | None:
    """The build there, if it is marked as complete and all its files are there; with other bytes, too, since builds stay."""
    marked = store.read(f"{folder}/{SUMS}")
    if marked is None:
        return None
    sums, sizes = parse_sums(marked, store.address(f"{folder}/{SUMS}")), store.sizes(folder)
    if not required(publication.name) <= sums.keys() <= sizes.keys():
        return None
    if sums == publication.files and any(sizes[file] != size for file, size in publication.sizes.items()):
        return None
    return Publication(publication.name, publication.build, Path(folder), sums, {file: sizes[file] for file in sums})


def _wrong(publication: Publication, store: Store, folder: str, at_most: int | None = None) -> list[str]:
    """Files that are not there as they should be; those up to ``at_most`` bytes are read to find out, others judged by size.

    What an interrupted run left is read in full: nothing is trusted that was not hashed.
    """
    there = store.sizes(folder)
    wrong = []
    for file, size in publication.sizes.items():
        if there.get(file) != size:
            wrong.append(file)
        elif at_most is None or size <= at_most:
            with store.open(f"{folder}/{file}") as stream:
                state = hashlib.sha256()
                for block in blocks(stream):
                    state.update(block)
            if state.hexdigest() != publication.files[file]:
                wrong.append(file)
    return wrong


def _send(publication: Publication, file: str, store: Store, folder: str, progress: Progress) -> int:
    """The bytes sent."""
    path = publication.path / file
    try:
        _require_sum(publication, file, digest(path))
    except OSError as error:
        raise PublishError(f"cannot read: {error.strerror}", path=str(path)) from error
    store.put(path, f"{folder}/{file}", progress)
    return publication.sizes[file]


def _record(publication: Publication, store: Store, folder: str) -> JSON:
    """The index's entry of a build that lies in a store."""

    def read(file: str) -> Fields | None:
        data = store.read(f"{folder}/{file}") if file in publication.files else None
        return record_of(data or b"null", store.address(f"{folder}/{file}"))

    return described(publication, read(EVALUATION), read(PARITY))


def _merge(store: Store, records: dict[str, JSON]) -> dict[str, Any]:
    """Make ``records`` the models' entries in the store's index, and return it; it is not written where they are already."""
    for _ in range(_RACES):
        version = store.version(INDEX)  # before reading: what is read is as new or newer, and if newer, replacing fails
        data = store.read(INDEX)
        index: dict[str, Any] = {"schema": SCHEMA, "models": {}} if data is None else parse_index(data, store.address(INDEX))
        index["models"].update(records)
        if json_bytes(index) == data or store.replace(INDEX, json_bytes(index), version):
            return index
        time.sleep(random.uniform(0.01, 0.2))  # so that two do not keep step
    raise PublishError("others keep changing the index", path=store.address(INDEX), remedy="publish again when they are done")


def _copy_page(source: Path, index: dict[str, Any], target: Place, merged: dict[str, Any]) -> None:
    page = source / PAGE
    if merged["models"] != index["models"] or not page.is_file():
        return
    data = page.read_bytes()
    if target.read(PAGE) == data:
        return
    if isinstance(target, Store):
        target.write(PAGE, data)
    else:
        write_bytes(target.root / PAGE, data)
