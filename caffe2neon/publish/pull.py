"""A published model brought here: every byte held to the index and to ``SHA256SUMS`` before any of it shows."""

from __future__ import annotations

import difflib
import hashlib
import os
import shutil
from pathlib import Path

from caffe2neon.errors import PublishError, located
from caffe2neon.files import cannot_write, claim, digest, remove_abandoned, sync_folder, write_bytes
from caffe2neon.publish.build import SUMS, format_sums, look_into, parse_sums, required
from caffe2neon.publish.index import INDEX, Entry, entries, parse_index
from caffe2neon.publish.place import Place, blocks
from caffe2neon.records import Progress, Publication, no_progress


def read_zoo(place: Place) -> dict[str, Entry]:
    """The models of a published zoo, by name.

    Raises:
        PublishError: there is none, or its index is damaged.
    """
    data = place.read(INDEX)
    if data is None:
        remedy = f"name the folder that has {INDEX}"
        raise PublishError(f"no published zoo here: it has no {INDEX}", path=place.address(), remedy=remedy)
    return entries(parse_index(data, place.address(INDEX)), place.address(INDEX))


def pull(place: Place, name: str, output: Path, progress: Progress = no_progress) -> tuple[Publication, bool]:
    """The current build of a model, as the folder ``output``; and whether anything had to be brought here.

    ``output`` appears in one step, when all is verified. An older build that was pulled there is replaced; a folder with anything
    else in it is left alone.

    Raises:
        PublishError: no such model, a file that is not what the index and ``SHA256SUMS`` say, or ``output`` cannot be written.
    """
    zoo = read_zoo(place)
    if name not in zoo:
        near = difflib.get_close_matches(name, zoo, 3) or sorted(zoo)[:10]
        remedy = f"it has: {', '.join(near)}" if near else ""
        raise PublishError(f"the zoo has no model {name!r}", path=place.address(INDEX), remedy=remedy)
    entry = zoo[name]
    with located(model=name):
        folder = f"{entry.name}/{entry.build}"
        _check_sums(place, entry, folder)
        existing = look_into(output, name, entry.build, verify=True)
    if existing is not None and existing.files == entry.files:
        return existing, False
    _check_replaceable(output)
    with located(model=name):
        try:
            _bring(place, entry, folder, output, progress)
        except OSError as error:
            raise cannot_write(Path(error.filename or output), error) from error
        return Publication(name, entry.build, output, entry.files, entry.sizes), True


def _check_sums(place: Place, entry: Entry, folder: str) -> None:
    path = place.address(f"{folder}/{SUMS}")
    data = place.read(f"{folder}/{SUMS}")
    if data is None:
        raise PublishError("the index names a build that is not there", path=path)
    sums = parse_sums(data, path)
    if sums != entry.files:
        different = sorted(file for file in sums.keys() | entry.files.keys() if sums.get(file) != entry.files.get(file))
        raise PublishError(f"{SUMS} and the index do not agree on {', '.join(different)}", path=path)
    if missing := sorted(required(entry.name) - sums.keys()):
        raise PublishError(f"the build is not complete: {', '.join(missing)} missing", path=path)


def _check_replaceable(output: Path) -> None:
    """Only what an earlier pull made may go: exactly the files that its own ``SHA256SUMS`` names, unchanged."""
    if not output.exists():
        return
    try:
        changed = _changed(output) if output.is_dir() else "it is no folder"
    except OSError as error:
        changed = f"cannot read {Path(error.filename or output).name}: {error.strerror}"
    if changed:
        remedy = "choose another folder with --output, or move it away"
        raise PublishError(f"already there, and not as a pull left it, so it stays: {changed}", path=str(output), remedy=remedy)


def _changed(output: Path) -> str:
    """In what the folder is not as a pull left it; "" where it is, or is empty."""
    there = {path.name for path in output.iterdir()}
    if SUMS not in there:
        return f"it has no {SUMS}" if there else ""
    try:
        sums = parse_sums((output / SUMS).read_bytes(), str(output / SUMS))
    except PublishError:
        return f"{SUMS} has changed"
    listed = sums.keys() | {SUMS}
    first = min(there ^ listed, default=None)
    if first is not None:
        return f"{first} is missing" if first in listed else f"{first} was not of it"
    return next((f"{file} has changed" for file, sha256 in sums.items() if digest(output / file) != sha256), "")


def _bring(place: Place, entry: Entry, folder: str, output: Path, progress: Progress) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    staging = output.parent / f".{output.name}.pull"  # beside it, so that the last step is a rename within one file system
    staging.mkdir(exist_ok=True)
    claimed = claim(staging)
    if claimed is None:
        raise PublishError("another pull into this folder is under way", path=str(output), remedy="wait until it is done")
    try:
        remove_abandoned(staging)  # of a pull that was killed
        part = staging / "new"
        part.mkdir()
        for file in entry.files:
            _download(place, entry, f"{folder}/{file}", part / file, progress)
        write_bytes(part / SUMS, format_sums(entry.files))
        sync_folder(part)
        _move(part, output, staging / "old")
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        os.close(claimed)


def _move(part: Path, output: Path, old: Path) -> None:
    if output.exists():
        output.rename(old)
    try:
        part.rename(output)
    except OSError:
        if old.exists():
            old.rename(output)
        raise
    sync_folder(output.parent)


def _download(place: Place, entry: Entry, name: str, target: Path, progress: Progress) -> None:
    """One file; no more is read of it than there should be."""
    size, state, done = entry.sizes[target.name], hashlib.sha256(), 0
    with place.open(name) as source, target.open("xb") as copy:
        for block in blocks(source):
            done += len(block)
            if done > size:
                break
            state.update(block)
            copy.write(block)
            progress(f"download {name}", done, size)
        copy.flush()
        os.fsync(copy.fileno())
    if done != size:
        arrived = "more" if done > size else f"{done} bytes"
        raise PublishError(f"{arrived} arrived of a file of {size} bytes", path=place.address(name))
    if state.hexdigest() != entry.files[target.name]:
        raise PublishError(
            f"not the file that was published: its sha256 is {state.hexdigest()}, and should be {entry.files[target.name]}",
            path=place.address(name),
        )

