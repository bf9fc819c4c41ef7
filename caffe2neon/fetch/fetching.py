"""From a manifest entry to files on this machine whose digests were just checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from caffe2neon.errors import ChecksumError, FetchError, located
from caffe2neon.fetch.arrival import Arrival
from caffe2neon.fetch.download import Network, download
from caffe2neon.fetch.plan import Candidate, plan
from caffe2neon.files import BLOCK
from caffe2neon.records import FetchedFile, FetchedModel, ModelSpec, PinnedFile, Progress, no_progress

#: What suits a person who waits, and a nightly run.
PATIENT = Network()


def fetch(
    spec: ModelSpec,
    *,
    root: Path,
    cache: Path,
    mirrors: Sequence[Path] = (),
    progress: Progress = no_progress,
    network: Network = PATIENT,
) -> FetchedModel:
    """Both files of an entry; see :func:`plan` for the order of places, each tried until one has the pinned bytes.

    A file that is on this machine is used where it lies, after it was hashed; so is the cache, and what does not fit there is
    fetched anew. Several processes may share a cache. ``progress`` hears of ``download NAME`` and ``check NAME``, in bytes.

    Args:
        root: the manifest's folder, where relative paths start.
        cache: made where it is missing.
        mirrors: folders that may hold the files, at any depth.

    Raises:
        ChecksumError: no place has the pinned bytes, and at least one has others; it says what arrived instead.
        FetchError: no place has the file.
    """
    with located(model=spec.name, stage="fetch"):
        prototxt, caffemodel = (
            _fetch_file(pinned, plan(pinned, root=root, cache=cache, mirrors=mirrors), progress, network)
            for pinned in (spec.prototxt, spec.caffemodel)
        )
    return FetchedModel(spec, prototxt, caffemodel)


def _fetch_file(pinned: PinnedFile, candidates: Sequence[Candidate], progress: Progress, network: Network) -> FetchedFile:
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
    raise _together(failures)


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
                progress(f"check {path.name}", arrival.count, total)
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
