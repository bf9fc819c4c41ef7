"""From a manifest entry to files on this machine whose digests were just checked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from caffe2neon.errors import ChecksumError, FetchError, located
from caffe2neon.fetch.archive import extract
from caffe2neon.fetch.arrival import Arrival
from caffe2neon.fetch.download import download
from caffe2neon.fetch.http import PATIENT, Network
from caffe2neon.fetch.plan import Candidate, file_name, lacking, plan
from caffe2neon.files import BLOCK
from caffe2neon.records import FetchedFile, FetchedModel, ModelSpec, PinnedFile, Progress, no_progress


def fetch(
    spec: ModelSpec,
    *,
    root: Path,
    cache: Path,
    mirrors: Sequence[Path] = (),
    progress: Progress = no_progress,
    network: Network = PATIENT,
    offline: bool = False,
) -> FetchedModel:
    """Both files of an entry; see :func:`fetch_file`, which raises what this raises."""
    with located(model=spec.name, stage="fetch"):
        prototxt, caffemodel = (
            fetch_file(
                pinned, root=root, cache=cache, mirrors=mirrors, progress=progress, network=network, offline=offline
            )
            for pinned in (spec.prototxt, spec.caffemodel)
        )
    return FetchedModel(spec, prototxt, caffemodel)


def fetch_file(
    pinned: PinnedFile,
    *,
    root: Path,
    cache: Path,
    mirrors: Sequence[Path] = (),
    progress: Progress = no_progress,
    network: Network = PATIENT,
    offline: bool = False,
) -> FetchedFile:
    """One file; see :func:`plan` for the order of places, each tried until one has the pinned bytes.

    A file that is on this machine is used where it lies, after it was hashed; so is the cache, and what does not fit there is
    fetched anew. Several processes may share a cache, and no two download the same file at once. An archive is opened only after
    its hash was found right, and its member is taken out of it again each time. ``progress`` hears of ``download NAME``,
    ``check NAME`` and ``unpack NAME``, in bytes.

    Args:
        root: the manifest's folder, where relative paths start.
        cache: made where it is missing.
        mirrors: folders that may hold the files, at any depth.
        offline: never ask the network.

    Raises:
        ChecksumError: no place has the pinned bytes, and at least one has others; it says what arrived instead.
        FetchError: no place has the file; or it is an archive that does not hold the member.
    """
    if not pinned.digest:
        remedy = "look at the file, then pin it: caffe2neon zoo add URL URL --dry-run prints hashes"
        raise FetchError("no hash of this file is known, and nothing unpinned is fetched", path=pinned.url, remedy=remedy)
    candidates = plan(pinned, root=root, cache=cache, mirrors=mirrors, offline=offline)
    if not candidates:
        remedy = "leave --offline out, or put it into a folder that --mirror names"
        nowhere = FetchError("not on this machine, and the network is not to be asked", path=pinned.url, remedy=remedy)
        raise _together([nowhere, *lacking(pinned, mirrors)])
    file = _first(pinned, candidates, mirrors, progress, network)
    if not pinned.member:
        return file
    with located(path=str(file.path)):
        member = hashlib.sha256(pinned.member.encode()).hexdigest()
        target = cache / "members" / f"{pinned.algorithm}-{pinned.digest}" / member
        _make_folder(target.parent)
        return extract(file, pinned.member, target, progress)


def fetch_unpinned(
    url: str,
    *,
    root: Path,
    cache: Path,
    member: str = "",
    progress: Progress = no_progress,
    network: Network = PATIENT,
) -> tuple[PinnedFile, FetchedFile]:
    """A file that nothing is known of but its address, with the pin that it gets, for a person to look at.

    What was downloaded is in the cache under that pin, so that it need not be again.

    Raises:
        ChecksumError: a web page or nothing at all arrived.
        FetchError: the file could not be brought here.
    """
    unknown = PinnedFile(url, "sha256", "")
    place = cache / "unpinned" / hashlib.sha256(url.encode()).hexdigest()
    candidate = plan(unknown, root=root, cache=cache)[-1]
    with located(path=url):
        if candidate.action == "download":
            _make_folder(place.parent)
            file = download(url, unknown, place, network, progress)
            known = cache / "sha256" / file.sha256
            _make_folder(known.parent)
            place.replace(known)
        else:
            file = _check_file(candidate, unknown, progress)
    pinned = replace(unknown, digest=file.sha256, size=file.size, member=member)
    return pinned, fetch_file(pinned, root=root, cache=cache, progress=progress, network=network)


def _first(
    pinned: PinnedFile, candidates: Sequence[Candidate], mirrors: Sequence[Path], progress: Progress, network: Network
) -> FetchedFile:
    failures: list[FetchError] = []
    for candidate in candidates:
        try:
            with located(path=candidate.url):
                if candidate.action == "download":
                    _make_folder(candidate.path.parent)
                    return download(candidate.url, pinned, candidate.path, network, progress)
                return _check_file(candidate, pinned, progress)
        except FetchError as error:
            failures.append(error)
    raise _together([*failures, *lacking(pinned, mirrors)])


def _check_file(candidate: Candidate, pinned: PinnedFile, progress: Progress) -> FetchedFile:
    arrival = Arrival(pinned)
    path = candidate.path
    try:
        if path.exists() and not path.is_file():
            raise FetchError("not a file", path=str(path))
        with path.open("rb") as stream:
            total = path.stat().st_size
            while block := stream.read(BLOCK):
                arrival.add(block)
                progress(f"check {file_name(candidate.url)}", arrival.count, total)
    except FileNotFoundError as error:
        raise FetchError("no such file", path=str(path)) from error
    except OSError as error:
        raise FetchError(f"cannot read: {error.strerror}", path=str(path)) from error
    arrival.check()
    return FetchedFile(path, candidate.url, arrival.sha256, arrival.count)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "choose another cache folder"
        raise FetchError(f"cannot make the cache: {error.strerror}", path=str(folder), remedy=remedy) from error


def _together(failures: Sequence[FetchError]) -> FetchError:
    """One failure as it is; several as one that lists them."""
    if len(failures) == 1:
        return failures[0]
    wrong = [failure for failure in failures if isinstance(failure, ChecksumError)]
    lines = "".join(f"\n  {failure.where}: {failure.message}" for failure in failures)
    kind = ChecksumError if wrong else FetchError
    return kind(f"no place has the file:{lines}", remedy=(wrong or failures)[0].remedy)
